"""The names under which post-selected samplers count, in sinter's custom counts and so in its CSV files."""

import collections

import numpy as np
from numpy.typing import NDArray

__all__ = ["GAP_BIN_DB", "LAST_GAP_BIN", "count_gaps", "count_stages", "gap_bins"]

GAP_BIN_DB = 0.5
LAST_GAP_BIN = 400


def gap_bins(gaps: NDArray[np.float64]) -> NDArray[np.int64]:
    """Returns the bin of each gap in dB: half a dB wide, the last one open.

    Examples:
        >>> import numpy as np
        >>> from quell.decoders.post_selection.count_keys import gap_bins
        >>> gap_bins(np.array([0.0, 0.6, 1e9, np.inf]))
        array([  0,   1, 400, 400])
    """
    return np.minimum(np.floor(gaps / GAP_BIN_DB), LAST_GAP_BIN).astype(np.int64)


def count_gaps(counts: collections.Counter[str], bins: NDArray[np.int64], wrong: NDArray[np.bool_]) -> None:
    """Adds shots by bin: `C<bin>` if they were decoded right, `E<bin>` if not.

    Examples:
        >>> import collections, numpy as np
        >>> from quell.decoders.post_selection.count_keys import count_gaps
        >>> counts = collections.Counter()
        >>> count_gaps(counts, np.array([3, 3, 7]), np.array([True, False, False]))
        >>> sorted(counts.items())
        [('C3', 1), ('C7', 1), ('E3', 1)]
    """
    for letter, chosen in (("C", ~wrong), ("E", wrong)):
        for number, count in zip(*np.unique(bins[chosen], return_counts=True), strict=True):
            counts[f"{letter}{number}"] += int(count)


def count_stages(counts: collections.Counter[str], kept: NDArray[np.int64]) -> None:
    """Adds the shots that are alive after each stage, `kept_1` and so on; stages that nobody survived are left out.

    Examples:
        >>> import collections, numpy as np
        >>> from quell.decoders.post_selection.count_keys import count_stages
        >>> counts = collections.Counter()
        >>> count_stages(counts, np.array([90, 80, 0]))
        >>> sorted(counts.items())
        [('kept_1', 90), ('kept_2', 80)]
    """
    for stage, count in enumerate(kept, 1):
        if count:
            counts[f"kept_{stage}"] += int(count)
