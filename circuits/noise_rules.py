"""Which channel a noise model puts on which operation: the tables that `noise_placement` reads.

A rule answers for one operation at a time and knows nothing of circuits, so that a new kind of noise is a new table.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from quell.circuits.noise_channels import Channel, flip
from quell.errors import CircuitError

__all__ = ["RateRules", "Rules"]

_BASES = "XYZ"


class Rules(Protocol):
    """What the placement asks a noise model. None, or a flip of 0, means that nothing is placed."""

    @property
    def idles(self) -> bool:
        """Whether `idle` can return anything at all."""

    @property
    def round_channels(self) -> tuple[Channel, ...]:
        """What every data qubit gets before a round."""

    @property
    def single_round(self) -> bool:
        """Whether the model is meaningless for a second round."""

    @property
    def needs_data(self) -> bool:
        """Whether the model treats data qubits and ancillas differently."""

    @property
    def timed(self) -> bool:
        """Whether operations last, so that a qubit waits for what its layer has beyond its own operations."""

    def check(self, name: str, groups: Sequence[tuple[int, ...]]) -> None:
        """Refuses, with a `CircuitError`, an instruction that the model has no noise for."""

    def free(self, name: str) -> str | None:
        """Why an instruction has no noise in this model; None where it has."""

    def preparation(self, qubit: int, basis: str) -> Channel | None:
        """Placed after a reset in `basis`."""

    def measurement(self, qubit: int, basis: str, *, final: bool) -> Channel | None:
        """Placed before a measurement in `basis`; `final` says that no use of this data qubit follows."""

    def product_flip(self, *, final: bool) -> float:
        """The probability with which the result of a product measurement is reported wrong; `final` as above."""

    def gate(self, name: str, qubits: tuple[int, ...]) -> Channel | None:
        """Placed after a gate on one or two qubits."""

    def seconds(self, name: str, qubits: tuple[int, ...]) -> float:
        """How long the operation lasts; 0 for what the device does not have, which only noiseless tags let pass."""

    def idle(self, qubit: int, *, spam: bool, waited: bool, seconds: float) -> Channel | None:
        """Placed at the end of a layer.

        `spam` says that something was prepared or measured in the layer, `waited` that the same held for the
        layer before, and that the qubit was idle there too; `seconds` is how long the qubit waits.
        """


@dataclass(frozen=True)
class RateRules:
    """The same rates on every qubit. Flips are given per basis, in the order X, Y, Z."""

    preparation_flips: tuple[float, float, float] = (0.0, 0.0, 0.0)
    measurement_flips: tuple[float, float, float] = (0.0, 0.0, 0.0)
    one_qubit: Channel | None = None
    two_qubit: Channel | None = None
    idle_channel: Channel | None = None
    idle_spam: Channel | None = None
    idle_once_per_window: bool = False
    round_channels: tuple[Channel, ...] = ()
    single_round: bool = False
    perfect_data_readout: bool = False
    only: frozenset[str] | None = None

    timed = False

    @property
    def idles(self) -> bool:
        """Whether idle qubits get any noise."""
        return self.idle_channel is not None or self.idle_spam is not None

    @property
    def needs_data(self) -> bool:
        """Whether data qubits must be known."""
        return bool(self.round_channels) or self.single_round or self.perfect_data_readout

    def check(self, name: str, groups: Sequence[tuple[int, ...]]) -> None:
        """Refuses what `only` does not name."""
        if self.only is not None and name not in self.only:
            raise CircuitError(
                f"this noise model has no rate for {name}, only for {', '.join(sorted(self.only))}: "
                'build the circuit from these (gate_set="native"), or take another noise model'
            )

    def free(self, name: str) -> str | None:
        """Rates make no exceptions."""
        return None

    def preparation(self, qubit: int, basis: str) -> Channel | None:
        """The flip after a reset."""
        return flip(basis, self.preparation_flips[_BASES.index(basis)])

    def measurement(self, qubit: int, basis: str, *, final: bool) -> Channel | None:
        """The flip before a measurement."""
        if final and self.perfect_data_readout:
            return None
        return flip(basis, self.measurement_flips[_BASES.index(basis)])

    def product_flip(self, *, final: bool) -> float:
        """The measurement flip; models that cover products have the same one in every basis."""
        return 0.0 if final and self.perfect_data_readout else self.measurement_flips[2]

    def gate(self, name: str, qubits: tuple[int, ...]) -> Channel | None:
        """The channel after a gate."""
        return self.one_qubit if len(qubits) == 1 else self.two_qubit

    def seconds(self, name: str, qubits: tuple[int, ...]) -> float:
        """Rates know no time."""
        return 0.0

    def idle(self, qubit: int, *, spam: bool, waited: bool, seconds: float) -> Channel | None:
        """The idle channel of the layer's kind."""
        if not spam:
            return self.idle_channel
        return None if waited and self.idle_once_per_window else self.idle_spam
