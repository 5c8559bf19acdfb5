"""Sampling of Pauli frames: faults are drawn where they happen, what they flip is added up, and where a frame has X at
T gates, `true_t_paths` says how likely it is to survive each stage.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import stim

from quell.decoders.post_selection.true_t_faults import read_faults
from quell.decoders.post_selection.true_t_paths import Flips, Paths

__all__ = ["TrueTBatch", "TrueTFrames"]

Words = npt.NDArray[np.uint64]
Integers = npt.NDArray[np.int64]

_MOST_KNOWN = 1_000_000  # frames, some hundreds of bytes each


class TrueTBatch(NamedTuple):
    """Shots that were drawn.

    Attributes:
        kept: int64 (num_stages,): how many are alive after each stage.
        num_wrong: How many of the last have a flipped observable.
    """

    kept: Integers
    num_wrong: int


class TrueTFrames:
    """Draws faults, adds up what they flip, and lets the sum over paths decide where T gates matter."""

    def __init__(self, circuit: stim.Circuit) -> None:
        faults = read_faults(circuit)
        self.paths = Paths(circuit, faults)
        self.num_stages = self.paths.num_stages
        self.num_detectors = len(faults.stages)
        # A row has words of detectors, then of observables, then of the frame.
        parts = [_words(faults.detectors), _words(faults.observables), _words(faults.frames)]
        self._begins = np.cumsum([0, *(part.shape[1] for part in parts)])
        self._table = np.concatenate(parts, axis=1)
        self._faults = faults
        sizes = np.diff(faults.starts)
        sites = np.repeat(np.arange(len(sizes)), sizes)
        sums = np.cumsum(faults.shares)
        before = np.concatenate([[0.0], sums])[faults.starts[:-1]]
        self._upper = sites + (sums - before[sites])
        self._upper[faults.starts[1:] - 1] = np.arange(1, len(sizes) + 1)
        self._groups = [(float(rate), np.flatnonzero(faults.rates == rate)) for rate in np.unique(faults.rates)]
        reached = faults.z_detectors.any(axis=0)
        stages = [faults.stages == s for s in range(1, self.num_stages + 1)]
        self._masks = [_words(its[None])[0] for its in stages]
        self._hard = [_words((its & ~reached)[None])[0] for its in stages]
        # Of a row, what the likelihood of a stage depends on, where it differs from that of the stage before.
        self._keys = [
            self._row(self.paths.reached[s], self.paths.touching[s])
            if self.paths.reached[s] != self.paths.reached[s - 1]
            else None
            for s in range(1, self.num_stages + 1)
        ]
        self._known: list[dict[bytes, float]] = [{} for _ in stages]
        self._known_flips: dict[bytes, Flips] = {}

    def sample(self, shots: int, rng: np.random.Generator) -> TrueTBatch:
        """Draws shots. One random number decides for how many stages a frame with X at T gates survives."""
        rows = self._rows(shots, rng)
        bent = rows[:, self._begins[2] :].any(axis=1)
        num_quiet, straight, rows = shots - len(rows), rows[~bent], rows[bent]
        fate = rng.random(len(rows))
        kept = np.full(self.num_stages, num_quiet, np.int64)
        for index, (mask, hard, keys) in enumerate(zip(self._masks, self._hard, self._keys, strict=True)):
            straight = straight[~(straight[:, : len(mask)] & mask).any(axis=1)]
            alive = ~(rows[:, : len(hard)] & hard).any(axis=1)
            rows, fate = rows[alive], fate[alive]
            if keys is not None:
                alive = fate < self._likelihoods(rows & keys, index)
                rows, fate = rows[alive], fate[alive]
            kept[index] += len(straight) + len(rows)
        flipped = straight[:, self._begins[1] : self._begins[2]].any(axis=1)
        return TrueTBatch(kept, int(flipped.sum()) + self._draw(rows, rng))

    def _rows(self, shots: int, rng: np.random.Generator) -> Words:
        """What is flipped in every shot that has a fault."""
        nothing = np.zeros(0, np.int64)
        drawn = [(nothing, nothing)]
        for rate, sites in self._groups:
            places = _bernoulli(shots * len(sites), rate, rng)
            shot, which = np.divmod(places, len(sites))
            drawn.append((shot, sites[which]))
        shot = np.concatenate([each[0] for each in drawn])
        site = np.concatenate([each[1] for each in drawn])
        if len(drawn) > 2:
            order = np.argsort(shot, kind="stable")
            shot, site = shot[order], site[order]
        fault = np.searchsorted(self._upper, site + rng.random(len(site)), side="right")
        if not len(shot):
            return np.zeros((0, self._table.shape[1]), np.uint64)
        begins = np.flatnonzero(np.diff(shot, prepend=-1))
        return np.bitwise_xor.reduceat(self._table[fault], begins, axis=0)

    def _likelihoods(self, rows: Words, index: int) -> npt.NDArray[np.float64]:
        """How likely each row is to have survived a stage, and all before."""
        known = self._known[index]
        keys = _as_bytes(rows)
        for key in set(keys).difference(known):
            known[key] = self.paths.likelihood(*self._as_ints(key), index + 1)
        likely = np.fromiter((known[key] for key in keys), float, len(keys))
        if len(known) > _MOST_KNOWN:
            known.clear()
        return likely

    def _draw(self, rows: Words, rng: np.random.Generator) -> int:
        """Draws what is flipped in shots that are kept, each choice with even odds; returns how many are wrong."""
        wrong = 0
        for key in _as_bytes(rows):
            flips = self._known_flips.get(key)
            if flips is None:
                flips = self._known_flips[key] = self.paths.flips(*self._as_ints(key))
            pattern = flips.flipped
            for choice in flips.choices:
                if rng.random() < 0.5:
                    pattern ^= choice
            wrong += pattern != 0
        if len(self._known_flips) > _MOST_KNOWN:
            self._known_flips.clear()
        return wrong

    def _as_ints(self, row: bytes) -> tuple[int, int]:
        """What a row flips, and its frame."""
        detectors, observables, frame = (
            int.from_bytes(row[8 * a : 8 * b], "little") for a, b in zip(self._begins, self._begins[1:], strict=False)
        )
        return detectors | observables << self.num_detectors, frame

    def _row(self, detectors: int, frame: int) -> Words:
        """A row with these detectors and this frame."""
        sizes = 8 * np.diff(self._begins)
        parts = [detectors.to_bytes(sizes[0], "little"), bytes(sizes[1]), frame.to_bytes(sizes[2], "little")]
        return np.frombuffer(b"".join(parts), np.uint64)


def _as_bytes(rows: Words) -> list[bytes]:
    rows = np.ascontiguousarray(rows)
    return [] if not len(rows) else list(rows.view(f"V{rows.shape[1] * 8}").ravel().tolist())


def _words(bits: npt.NDArray[np.bool_]) -> Words:
    """Rows of bits, at least one word long."""
    width = max(1, -(-bits.shape[1] // 64)) * 64
    padded = np.zeros((len(bits), width), bool)
    padded[:, : bits.shape[1]] = bits
    return np.packbits(padded, axis=1, bitorder="little").view(np.uint64)


def _bernoulli(size: int, rate: float, rng: np.random.Generator) -> Integers:
    """Ascending indices below `size`, each there with probability `rate`, independently."""
    if rate >= 1:
        return np.arange(size)
    drawn: list[Integers] = []
    last = -1
    while last < size:
        expected = (size - last) * rate
        gaps = rng.geometric(rate, int(expected + 5 * np.sqrt(expected)) + 10)
        drawn.append(last + np.cumsum(gaps))
        last = int(drawn[-1][-1])
    places = np.concatenate(drawn)
    return places[places < size]
