"""Networks on the Tanner graph: what they say does not depend on the order of qubits and checks, nor on their number.

Messages pass between the rows and the columns of a check matrix. A node knows its degree, how much room it has and what
the light codewords that it is in cost; a pair of a row and a column knows how many walks join them, which tells whether
an edge would close a short cycle. So one network, trained on some problems, serves others of other sizes.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from quell.errors import InputError

__all__ = ["EdgePolicy", "GraphView", "MoveRanker", "NetworkSize", "view"]

_NODE_FEATURES = 12
_WALKS = 7
# What a move's new codewords cost, in classes: an upper limit each, and the cost that stands for the class.
CLASS_LIMITS = (0.01, 1.01, 2.01, 3.6, 6.01, 12.01)
CLASS_COSTS = (0.0, 1.0, 1.6, 2.8, 4.8, 8.5, 20.0)


@dataclass(frozen=True)
class NetworkSize:
    """How wide and how deep.

    Args:
        width: Numbers that a node holds.
        layers: Rounds of messages; a node knows of what is up to twice as many steps away.
    """

    width: int = 32
    layers: int = 4

    def __post_init__(self) -> None:
        """Checks the limits."""
        for name, value in (("width", self.width), ("layers", self.layers)):
            if not 1 <= value <= 512:
                raise InputError(f"{name} must be from 1 to 512, got {value}")


class GraphView(NamedTuple):
    """What a network sees of B check matrices of r rows and n columns.

    Attributes:
        bits: float32 (B, r, n).
        rows: float32 (B, r, F): features of the rows.
        columns: float32 (B, n, F).
        walks: float32 (B, r, n, W): the logarithm of one plus a number of walks.
    """

    bits: Tensor
    rows: Tensor
    columns: Tensor
    walks: Tensor


def view(
    bits: Tensor, shares: Tensor, costs: Tensor, k: int, distance: int, max_row: int, max_column: int
) -> GraphView:
    """Builds the features.

    Args:
        bits: float32 (B, r, n): check matrices.
        shares: float32 (B, n): the prices of the light codewords that each column is in.
        costs: float32 (B,).
        k: That is wanted.
        distance: That is wanted.
        max_row: The most ones in a row.
        max_column: The most ones in a column.
    """
    num_columns = bits.shape[2]
    log_cost = torch.log1p(costs)
    common = torch.stack(
        [
            log_cost,
            torch.full_like(log_cost, k / num_columns),
            torch.full_like(log_cost, distance / num_columns),
            torch.full_like(log_cost, num_columns / 64),
            torch.full_like(log_cost, max_row / 4),
            torch.full_like(log_cost, max_column / 4),
        ],
        dim=-1,
    )
    row_degrees, column_degrees = bits.sum(2), bits.sum(1)
    row_shares = (bits @ shares.unsqueeze(-1)).squeeze(-1)
    sides = []
    for degrees, most, weights in ((row_degrees, max_row, row_shares), (column_degrees, max_column, shares)):
        own = [degrees == 1, degrees == 2, degrees == 3, degrees > 3, (most - degrees) / most, torch.log1p(weights)]
        features = torch.stack([each.to(bits.dtype) for each in own], dim=-1)
        sides.append(torch.cat([features, common[:, None].expand(-1, degrees.shape[1], -1)], dim=-1))
    joined = _off_diagonal(bits)
    paths = _off_diagonal(bits * (column_degrees == 2).to(bits.dtype)[:, None])
    walks = [bits]
    for steps in (joined, paths):
        reached = bits
        for _ in range(3):
            reached = steps @ reached
            walks.append(torch.log1p(reached))
    return GraphView(bits, sides[0], sides[1], torch.stack(walks, dim=-1))


def _off_diagonal(bits: Tensor) -> Tensor:
    """How many columns each two different rows share."""
    shared = bits @ bits.transpose(1, 2)
    return shared - torch.diag_embed(torch.diagonal(shared, dim1=1, dim2=2))


class _Messages(nn.Module):
    """Rounds of messages between rows and columns."""

    def __init__(self, size: NetworkSize) -> None:
        super().__init__()
        width = size.width
        self.row_in, self.column_in = nn.Linear(_NODE_FEATURES, width), nn.Linear(_NODE_FEATURES, width)
        self.row_steps = nn.ModuleList(self._step(width) for _ in range(size.layers))
        self.column_steps = nn.ModuleList(self._step(width) for _ in range(size.layers))

    @staticmethod
    def _step(width: int) -> nn.Module:
        return nn.Sequential(nn.Linear(4 * width, width), nn.ReLU(), nn.Linear(width, width), nn.LayerNorm(width))

    def forward(self, graph: GraphView) -> tuple[Tensor, Tensor]:
        rows, columns = torch.relu(self.row_in(graph.rows)), torch.relu(self.column_in(graph.columns))
        back = graph.bits.transpose(1, 2)
        for row_step, column_step in zip(self.row_steps, self.column_steps, strict=True):
            everywhere = rows.mean(1, keepdim=True), columns.mean(1, keepdim=True)
            to_rows, to_columns = graph.bits @ columns, back @ rows
            row_input = [rows, to_rows / 3, *(each.expand_as(rows) for each in everywhere)]
            column_input = [columns, to_columns / 3, *(each.expand_as(columns) for each in everywhere)]
            rows = rows + row_step(torch.cat(row_input, dim=-1))
            columns = columns + column_step(torch.cat(column_input, dim=-1))
        return rows, columns


class EdgePolicy(nn.Module):
    """A logit for toggling each edge, and the value of the matrix: the actor and the critic of PPO.

    Examples:
        >>> import torch
        >>> from quell.qec.search.learned.policy import EdgePolicy, NetworkSize, view
        >>> bits = torch.tensor([[[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]]])
        >>> graph = view(bits, torch.zeros(1, 3), torch.zeros(1), 1, 3, 3, 3)
        >>> logits, values = EdgePolicy(NetworkSize(8, 2))(graph)
        >>> logits.shape, values.shape
        (torch.Size([1, 2, 3]), torch.Size([1]))
    """

    def __init__(self, size: NetworkSize) -> None:
        super().__init__()
        self.size = size
        width = size.width
        self.messages = _Messages(size)
        self.row_ends, self.column_ends = nn.Linear(width, 3 * width), nn.Linear(width, 3 * width)
        self.walks = nn.Linear(_WALKS, width)
        self.out = nn.Linear(width, 2)
        self.value = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, 1))
        nn.init.zeros_(self.out.bias)
        with torch.no_grad():
            self.out.weight.mul_(0.1)

    def forward(self, graph: GraphView) -> tuple[Tensor, Tensor]:
        """Returns logits (B, r, n) and values (B,)."""
        rows, columns = self.messages(graph)
        row_sum, row_add, row_cut = self.row_ends(rows).chunk(3, dim=-1)
        column_sum, column_add, column_cut = self.column_ends(columns).chunk(3, dim=-1)
        pairs = torch.relu(row_sum[:, :, None] + column_sum[:, None] + self.walks(graph.walks))
        add, cut = self.out(pairs).unbind(-1)
        scale = row_add.shape[-1] ** -0.5
        add = add + 0.1 * scale * row_add @ column_add.transpose(1, 2)
        cut = cut + 0.1 * scale * row_cut @ column_cut.transpose(1, 2)
        values = self.value(torch.cat([rows.mean(1), columns.mean(1)], dim=-1)).squeeze(-1)
        return torch.where(graph.bits > 0, cut, add), values


class MoveRanker(nn.Module):
    """What the new codewords of a move will cost, as a distribution over classes: the screen of learned annealing."""

    def __init__(self, size: NetworkSize) -> None:
        super().__init__()
        self.size = size
        width = size.width
        self.messages = _Messages(size)
        self.row_ends, self.column_ends = nn.Linear(width, 2 * width), nn.Linear(width, 2 * width)
        self.walks = nn.Linear(_WALKS, 2 * width)
        self.out = nn.Sequential(
            nn.Linear(2 * width + 4, 2 * width), nn.ReLU(), nn.Linear(2 * width, width), nn.ReLU(),
            nn.Linear(width, len(CLASS_COSTS)),
        )  # fmt: skip

    def forward(self, graph: GraphView, toggles: Tensor, gains: Tensor) -> Tensor:
        """Returns logits (B, M, classes).

        Args:
            graph: Of B matrices.
            toggles: int64 (B, M, 4, 3): the row and the column that each of up to four edges joins, and 1, −1 or 0.
            gains: float32 (B, M): the price of the codewords that each move takes away.
        """
        return self.rank(*self.encode(graph), toggles, gains)

    def encoded_sizes(self, num_rows: int, num_columns: int) -> tuple[tuple[int, ...], ...]:
        """The shapes, but for the batch, of what `encode` returns."""
        width = self.row_ends.out_features
        return (num_rows, width), (num_columns, width), (num_rows, num_columns, _WALKS)

    def encode(self, graph: GraphView) -> tuple[Tensor, Tensor, Tensor]:
        """What `rank` needs of each matrix, as long as that does not change."""
        rows, columns = self.messages(graph)
        return self.row_ends(rows), self.column_ends(columns), graph.walks

    def rank(self, rows: Tensor, columns: Tensor, walks: Tensor, toggles: Tensor, gains: Tensor) -> Tensor:
        """Returns logits (B, M, classes) of moves from what `encode` returned."""
        batch = torch.arange(len(rows))[:, None, None]
        at_row, at_column, sign = toggles.unbind(-1)
        ends = rows[batch, at_row] + columns[batch, at_column] + self.walks(walks[batch, at_row, at_column])
        # Edges that come and edges that go are summed apart.
        come, go = torch.relu(ends).chunk(2, dim=-1)
        come, go = (come * (sign == 1)[..., None]).sum(2), (go * (sign == -1)[..., None]).sum(2)
        facts = [(sign == 1).sum(-1), (sign == -1).sum(-1), torch.log1p(gains), gains > 0]
        joined = torch.cat([come, go, torch.stack([fact.to(ends.dtype) for fact in facts], dim=-1)], dim=-1)
        logits: Tensor = self.out(joined)
        return logits
