"""The counts as they are: the method to compare with, and what every other method falls back to."""

from collections.abc import Mapping
from typing import Any

from quell.mitigation.estimator import Estimated, Mitigator
from quell.mitigation.result import Report
from quell.mitigation.table import CountTable

__all__ = ["Raw", "left_alone"]


def left_alone(
    table: CountTable,
    method: str,
    reason: str,
    *,
    scores: Mapping[str, float] | None = None,
    fitted: Mapping[str, Any] | None = None,
) -> Estimated:
    """Returns the counts as they are, with the reason why `method` did not change them."""
    report = Report(
        method=method,
        changed=False,
        reason=reason,
        num_bits=table.num_bits,
        num_strings=table.num_strings,
        shots=table.shots,
        scores=scores or {},
        notes=table.notes,
    )
    return Estimated(table.probabilities, report, fitted or {})


class Raw(Mitigator):
    """Leaves the counts as they are.

    Examples:
        >>> from quell.mitigation import Raw
        >>> dict(Raw().mitigate({"0": 3, "1": 1}))
        {'0': 0.75, '1': 0.25}
    """

    name = "raw"

    def estimate(self, table: CountTable) -> Estimated:
        """Returns the share of the shots that gave each string; see `Mitigator.estimate`."""
        return left_alone(table, self.name, "the counts as they were measured")
