"""Q-Cluster: answers found by clustering the measured strings, and the flips around them taken back by Bayes' rule.

Patil, Baron, Zhou, "Q-Cluster: Quantum Error Mitigation Through Noise-Aware Unsupervised Learning", arXiv:2504.10801.
Written from the paper's description; where it differs, the class says how and why.
"""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from quell.errors import InputError, check_integer, check_probability
from quell.mitigation.estimator import Estimated, Mitigator
from quell.mitigation.flip_rates import FlipKernel, FlipRate, resolve_flip_rate, why_no_flips
from quell.mitigation.hamming import distances, pack_words, row_blocks
from quell.mitigation.result import Center, Report
from quell.mitigation.table import CountTable

__all__ = ["QCluster"]

# Comparisons of a possible seed with a string that each new cluster may cost.
_SEED_PAIRS = 5_000_000
# The shares at which a possible seed is tried. Its gain is concave in the share, so a coarse grid ranks seeds well.
_SEED_SHARES = (0.3, 0.05, 0.008)
_MAX_VOTES = 50
_MAX_SHARE_UPDATES = 300


class QCluster(Mitigator):
    """Cleans counts by Hamming clustering with a known flip rate.

    For one cluster, two, three and so on: Hamming k-means, with the strings too far from every centroid left out as
    outliers; the centroid of a cluster is the majority vote of its shots, bit by bit. Then Bayesian reshaping: each
    centroid is given its cluster's share of the shots, and every other string keeps what the clusters do not account
    for. It ends when one more cluster changes the result by less than `tol`.

    The method as published has defects that are mended here:

    - *Order.* Rows are sorted by their bits, shares are held in arrays, and ties go to the lower row: same counts, same
      result, whatever the hash seed or the order of the keys.
    - *Unseen centroids* are answers too. One that no shot gave exactly becomes a new string of the result.
    - *Ties in the vote* go to the bit of the cluster's most frequent string, the one whose bits sort first if several
      are equally frequent. Always voting 1 would put bits into the answer that no shot favours.
    - *The radius* is the mean number of flips plus two standard deviations, Σp + 2√Σp(1−p), in place of 2np(1−p). The
      latter is a variance times two: below a flip rate of about 1/2n it admits exact matches only.
    - *Rates by bit.* A flip of bit i counts log((1 − p_i)/p_i) when the nearest centroid is sought, so the nearest is
      the likeliest. With one rate for all bits that is the Hamming distance. The radius counts flips unweighted.
    - *Seeds.* The K most frequent strings are often one answer and its neighbours. Here each new seed is the string
      that, as one more cluster, would make the counts likeliest given the clusters there already are. The result of
      the vote is kept where it makes the counts likelier than the seeds themselves do.
    - *Shares.* The share of shots nearest to a centroid counts its neighbours' strays in and its own strays out.
      Instead, the shares, and the share of the outliers (uniform over all strings), are those that make the counts
      likeliest, by expectation maximisation.
    - *Reshaping.* What a string keeps, max(0, P(s) − Σ_i π_i p^d (1−p)^(n−d)), sums to more than the outliers' share,
      since chance excesses are kept while chance deficits are cut, and since what the clusters predict for strings that
      were never seen is not taken from anyone. Here the strings keep the nearest values (least squares) that are
      non-negative and sum to the outliers' share: a common amount is taken off each.
    - *Another cluster* must pay for itself: the logarithm of the likelihood must rise by n·ln 2 + ½·ln(shots), the
      length of naming a string and a share. Chance alone does not make clusters.
    - *The stop.* With many answers one more changes little, and the published rule gives up too early: of eight equal
      answers it may find one. Here it stops where the result changes by less than `tol` asks *and* the new cluster is
      below 1 − `tol` of the largest. As published, the result before that cluster is returned.

    The flip rate is taken as known. Where it is not given, it is estimated from the counts themselves by
    `BitFlipMixture`. No clustering rescues an answer that is not among the likeliest strings any more.

    Memory grows with strings times clusters, time besides with the number of clusters; shots are never expanded.

    Args:
        flip_rate: The probability that a measured bit is wrong: a number in [0, 0.5), one for each bit with index i for
            bit i, an object with `flip_rate(table)`, or None for `BitFlipMixture().flip_rate(table)`.
        tol: The Hellinger fidelity of two successive results at which one more cluster is not worth having, in (0, 1].
        max_clusters: Where the search ends at the latest.

    Attributes:
        p_: The mean flip rate that was used.
        flip_rates_: The rate of each bit, float64 of shape (num_bits,).
        n_clusters_: The number of clusters, K; 0 where the counts were left alone.
        centers_: The centroids, uint8 of shape (K, num_bits), column i for bit i, largest share first.
        center_weights_: Their probabilities, float64 of shape (K,).

    Raises:
        InputError: When estimating, if a setting is outside its limits.

    Examples:
        >>> from quell.mitigation import QCluster
        >>> counts = {"000": 440, "001": 22, "010": 25, "111": 460, "110": 26, "101": 27}
        >>> mitigated = QCluster(flip_rate=0.05).mitigate(counts)
        >>> {key: round(value, 2) for key, value in mitigated.items() if value > 0.01}
        {'000': 0.49, '111': 0.51}
    """

    name = "q-cluster"
    p_: float
    flip_rates_: NDArray[np.float64]
    n_clusters_: int
    centers_: NDArray[np.uint8]
    center_weights_: NDArray[np.float64]

    def __init__(self, flip_rate: FlipRate | None = None, *, tol: float = 0.95, max_clusters: int = 64) -> None:
        self.flip_rate = flip_rate
        self.tol = tol
        self.max_clusters = max_clusters

    def estimate(self, table: CountTable) -> Estimated:
        """Returns the clustered and reshaped distribution of `table`.

        Raises:
            InputError: If a setting is outside its limits.
        """
        check_integer("max_clusters", self.max_clusters, minimum=1)
        if check_probability("tol", self.tol) == 0:
            raise InputError("tol must be a fidelity above 0, got 0: no cluster would ever be worth having")
        rates = resolve_flip_rate("flip_rate", self.flip_rate, table)
        alone = why_no_flips(self.flip_rate) if not rates.any() else _why_alone(table)
        if alone:
            return _estimated(table, rates, None, alone)
        found, reason = _search(table, FlipKernel(rates), self.tol, self.max_clusters)
        return _estimated(table, rates, found, reason)

    def resumed(self, estimated: Estimated) -> "QCluster":
        """Returns the estimator with the flip rates that were found, which are the machine's, not the shots'."""
        again = self.copy()
        again.flip_rate = estimated.fitted["flip_rates_"]
        return again


@dataclass(frozen=True)
class _Clusters:
    """What was found with a given number of clusters.

    Attributes:
        centers: uint8 of shape (K, num_bits).
        shares: float64 of shape (K,).
        outliers: The share of no cluster.
        log_density: The logarithm of the model's probability of each string of the table, never −inf.
        log_likelihood: Of all shots.
        kept: The result: for each string of the table its probability.
        unseen: The result: centroids that no shot gave, by their bits.
    """

    centers: NDArray[np.uint8]
    shares: NDArray[np.float64]
    outliers: float
    log_density: NDArray[np.float64]
    log_likelihood: float
    kept: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    unseen: dict[bytes, float] = field(default_factory=dict)


def _why_alone(table: CountTable) -> str | None:
    """Returns why clusters cannot be told, or None."""
    if table.num_bits == 1:
        return "a flip of a single bit cannot be told from an answer"
    if table.num_strings == 1:
        return "all shots gave the same string"
    return None


def _search(table: CountTable, noise: FlipKernel, tol: float, max_clusters: int) -> tuple[_Clusters | None, str]:
    """Returns the clusters, None if there are none, and why there are no more."""
    worth = table.num_bits * math.log(2) + math.log(max(table.shots, 2)) / 2
    seeds = np.zeros((0, table.num_bits), dtype=np.uint8)
    log_density = np.full(table.num_strings, -table.num_bits * math.log(2))
    log_likelihood = float(table.weights @ log_density)
    best: _Clusters | None = None
    while len(seeds) < max_clusters:
        seeds = np.concatenate([seeds, table.bits[None, _next_seed(table, noise, log_density)]])
        voted = _k_means(table, noise, seeds)
        tried = [_share_out(table, noise, centers) for centers in (voted, seeds)]
        found = max(tried, key=lambda clusters: clusters.log_likelihood)
        if len(found.centers) < len(seeds) or found.log_likelihood - log_likelihood < worth:
            if best is None:
                return None, "no cluster stands out from uniform noise"
            return best, "the counts do not call for another cluster"
        found = _reshape(table, noise, found)
        if best is not None and found.shares.min() < (1 - tol) * found.shares.max() and _fidelity(best, found) >= tol:
            return best, f"one more cluster changes the result by less than a fidelity of {tol:g} asks for"
        best, log_density, log_likelihood = found, found.log_density, found.log_likelihood
    return best, f"max_clusters={max_clusters} was reached"


def _next_seed(table: CountTable, noise: FlipKernel, log_density: NDArray[np.float64]) -> int:
    """Returns the row of the string that, as one more cluster, would make the counts likeliest."""
    excess = table.weights - table.weights.sum() * np.exp(log_density)
    rows = _largest(excess, max(16, min(1024, _SEED_PAIRS // table.num_strings)))
    gains = np.zeros((len(_SEED_SHARES), len(rows)))
    density, weights = log_density.astype(np.float32), table.weights.astype(np.float32)
    for block in row_blocks(table.num_strings, len(rows)):
        # Single precision, whose largest exponent is 88, is twice as fast, and seeds are only where a search begins.
        ratio = noise.log_likelihood(table.words[block], table.bits[block], table.bits[rows], np.float32)
        ratio -= density[block, None]
        np.exp(np.minimum(ratio, 80, out=ratio), out=ratio)
        for gain, share in zip(gains, _SEED_SHARES, strict=True):
            likelier = ratio * np.float32(share)
            likelier += np.float32(1 - share)
            gain += weights[block] @ np.log(likelier, out=likelier)
    return int(rows[np.argmax(gains.max(axis=0))])


def _largest(values: NDArray[np.float64], count: int) -> NDArray[np.intp]:
    """Returns the rows of the `count` largest values; of equal ones at the end, rows spread evenly over the table."""
    order = np.argsort(-values, kind="stable")
    if count >= len(order):
        return order
    last = values[order[count - 1]]
    larger, equal = np.flatnonzero(values > last), np.flatnonzero(values == last)
    spread = np.arange(count - len(larger)) * len(equal) // (count - len(larger))
    return np.concatenate([larger[np.argsort(-values[larger], kind="stable")], equal[spread]])


def _k_means(table: CountTable, noise: FlipKernel, seeds: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns distinct centroids after majority votes, from the seeds until nothing changes."""
    radius = noise.mean_flips + 2 * noise.deviation
    centers, before = seeds, {seeds.tobytes()}
    for _ in range(_MAX_VOTES):
        nearest = noise.log_likelihood(table.words, table.bits, centers).argmax(axis=1)
        voted = centers.copy()
        for cluster, center in enumerate(centers):
            members = np.flatnonzero(nearest == cluster)
            far = distances(table.words[members], pack_words(center[None]))[:, 0] > radius
            members = members[~far]
            if len(members):
                voted[cluster] = _majority(table.bits[members], table.weights[members])
        centers = voted
        # a vote that was there before, the last or an earlier one of a cycle, comes again for ever
        if voted.tobytes() in before:
            break
        before.add(voted.tobytes())
    _, first = np.unique(centers, axis=0, return_index=True)
    return centers[np.sort(first)]


def _majority(bits: NDArray[np.uint8], weights: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Returns the value that most shots have in each bit; a tie goes to the most frequent string, the first of them."""
    margin = 2 * (weights @ bits) - weights.sum()
    voted: NDArray[np.uint8] = np.where(margin == 0, bits[weights.argmax()], margin > 0).astype(np.uint8)
    return voted


def _share_out(table: CountTable, noise: FlipKernel, centers: NDArray[np.uint8]) -> _Clusters:
    """Returns the shares of the clusters and of the outliers that make the counts likeliest."""
    given = np.empty((table.num_strings, len(centers) + 1))
    given[:, :-1] = noise.log_likelihood(table.words, table.bits, centers)
    given[:, -1] = -table.num_bits * math.log(2)
    largest = given.max(axis=1)
    np.exp(np.subtract(given, largest[:, None], out=given), out=given)
    shares = np.full(given.shape[1], 1 / given.shape[1])
    for _ in range(_MAX_SHARE_UPDATES):
        updated = shares * ((table.probabilities / (given @ shares)) @ given)
        change = float(np.abs(updated - shares).max())
        shares = updated
        if change < 1e-3 / table.weights.sum():
            break
    # At least half a shot's worth of outliers, so that no string is ever impossible.
    floor = 0.5 / max(table.weights.sum(), 1.0)
    floored = np.append(shares[:-1] * (1 - floor), shares[-1] * (1 - floor) + floor)
    log_density = np.log(given @ floored) + largest
    return _Clusters(centers, shares[:-1], float(shares[-1]), log_density, float(table.weights @ log_density))


def _reshape(table: CountTable, noise: FlipKernel, clusters: _Clusters) -> _Clusters:
    """Returns the clusters with the result: centroids have their shares, other strings what no cluster accounts for."""
    expected = np.exp(noise.log_likelihood(table.words, table.bits, clusters.centers)) @ clusters.shares
    rows = table.find(clusters.centers)
    others = np.ones(table.num_strings, dtype=bool)
    others[rows[rows >= 0]] = False
    kept = np.zeros(table.num_strings)
    kept[others] = _nearest_with_sum((table.probabilities - expected)[others], clusters.outliers)
    kept[rows[rows >= 0]] = clusters.shares[rows >= 0]
    unseen = {clusters.centers[k].tobytes(): float(clusters.shares[k]) for k in np.flatnonzero(rows < 0)}
    return _Clusters(
        clusters.centers,
        clusters.shares,
        clusters.outliers,
        clusters.log_density,
        clusters.log_likelihood,
        kept,
        unseen,
    )


def _nearest_with_sum(values: NDArray[np.float64], total: float) -> NDArray[np.float64]:
    """Returns the non-negative numbers nearest to `values`, in least squares, that sum to `total`.

    The projection onto a simplex: one amount is taken off all, and what falls below zero becomes zero.
    """
    if total <= 0 or not len(values):
        return np.zeros(len(values))
    falling = np.sort(values)[::-1]
    off = (np.cumsum(falling) - total) / np.arange(1, len(values) + 1)
    nearest: NDArray[np.float64] = np.maximum(values - off[np.flatnonzero(falling >= off)[-1]], 0.0)
    return nearest


def _fidelity(before: _Clusters, after: _Clusters) -> float:
    """Returns the Hellinger fidelity of two results."""
    overlap = float(np.sqrt(before.kept * after.kept).sum())
    overlap += math.fsum(math.sqrt(share * after.unseen.get(bits, 0.0)) for bits, share in before.unseen.items())
    return overlap**2


def _estimated(table: CountTable, rates: NDArray[np.float64], found: _Clusters | None, reason: str) -> Estimated:
    """Returns what `QCluster.estimate` returns; without clusters the counts as they are."""
    centers = np.zeros((0, table.num_bits), dtype=np.uint8) if found is None else found.centers
    shares = np.zeros(0) if found is None else found.shares
    order = np.argsort(-shares, kind="stable")
    centers, shares = centers[order], shares[order]
    rows = table.find(centers)
    keys = [table.keys[row] if row >= 0 else table.make_key(bits) for row, bits in zip(rows, centers, strict=True)]
    report = Report(
        method=QCluster.name,
        changed=found is not None,
        reason=reason,
        num_bits=table.num_bits,
        num_strings=table.num_strings,
        shots=table.shots,
        flip_rate=float(rates.mean()),
        flip_rates_0_to_1=tuple(rates.tolist()),
        flip_rates_1_to_0=tuple(rates.tolist()),
        centers=tuple(
            Center(key, float(share), bool(row >= 0)) for key, share, row in zip(keys, shares, rows, strict=True)
        ),
        scores={} if found is None else {"outliers": found.outliers, "log_likelihood": found.log_likelihood},
        notes=table.notes,
    )
    unseen = rows < 0
    return Estimated(
        probabilities=table.probabilities.copy() if found is None else found.kept,
        report=report,
        fitted={
            "p_": float(rates.mean()),
            "flip_rates_": rates,
            "n_clusters_": len(centers),
            "centers_": centers,
            "center_weights_": shares,
        },
        new_bits=centers[unseen],
        new_probabilities=shares[unseen],
    )
