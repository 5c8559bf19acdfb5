"""Learned search: networks on the Tanner graph, PPO with masks, and annealing whose moves a network chooses."""

from quell.errors import import_extra

for _module in ("gymnasium", "numba", "safetensors", "torch"):
    import_extra(_module, "search")

from quell.qec.search.learned.agent import (
    GuidedScreen,
    Moves,
    NoScreen,
    PolicyScreen,
    RankerScreen,
    Screen,
    ScreenedAnnealing,
    learned_annealing,
)
from quell.qec.search.learned.network_file import load_network, save_network
from quell.qec.search.learned.policy import EdgePolicy, MoveRanker, NetworkSize
from quell.qec.search.learned.ppo import PolicyAgent, PPOSettings, Training, train
from quell.qec.search.learned.ranking import RankerTraining, train_ranker

__all__ = [
    "EdgePolicy",
    "GuidedScreen",
    "MoveRanker",
    "Moves",
    "NetworkSize",
    "NoScreen",
    "PPOSettings",
    "PolicyAgent",
    "PolicyScreen",
    "RankerScreen",
    "RankerTraining",
    "Screen",
    "ScreenedAnnealing",
    "Training",
    "learned_annealing",
    "load_network",
    "save_network",
    "train",
    "train_ranker",
]
