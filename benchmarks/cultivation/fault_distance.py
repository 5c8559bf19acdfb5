"""How many faults does a cultivation circuit stand? With S in place of T: by exhaustion over all sets of fewer faults,
and a witness. With true T: by the first term of the error rate, summed over all pairs and triples of faults.

python benchmarks/cultivation/fault_distance.py [--no-triples]

Triples take minutes at distance 5. The published series for true T are Wan and Zapirain's (arXiv:2609.18922).
"""

import argparse
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from tables import write_table

from quell.circuits import NoiseModel, cultivation
from quell.decoders.post_selection.bit_sums import as_ints
from quell.decoders.post_selection.true_t_faults import read_faults
from quell.decoders.post_selection.true_t_paths import Paths
from quell.qec.codes.circuit_distance import circuit_distance

NOTES = """Uniform depolarizing noise, cultivation alone with a noiseless projection that is post-selected; a Pauli on
one or both qubits of a gate is one fault. Witnesses come from meeting in the middle. For true T stand the first terms
of the error rate of what is kept, in x = p / (1 - p): exact, sums over sets of k faults of how likely each is to
happen, to be kept and to be wrong. Published (Wan and Zapirain, arXiv:2609.18922): 131/450 x^2 + 9874093/10800 x^3 at
distance 3 and 10439/13500 x^3 at distance 5, for circuits with all that the authors' files have beyond the protocol."""


class Series:
    """Faults with what they flip merged, and how likely sets of them are to be kept and wrong."""

    def __init__(self, distance: int, *, as_published: bool) -> None:
        noise = NoiseModel.uniform_depolarizing(1e-3)
        circuit = cultivation(distance, noise=noise, gate="T", as_published=as_published)
        faults = read_faults(circuit)
        self.paths = Paths(circuit, faults)
        self.num_detectors = len(faults.stages)
        sizes = np.diff(faults.starts)
        sites = np.repeat(np.arange(len(sizes)), sizes).tolist()
        flips = as_ints(np.concatenate([faults.detectors, faults.observables], axis=1))
        merged: dict[tuple[int, int], dict[int, Fraction]] = {}
        for flipped, frame, site in zip(flips, as_ints(faults.frames), sites, strict=True):
            its = merged.setdefault((flipped, frame), {})
            its[site] = its.get(site, Fraction(0)) + Fraction(1, int(sizes[site]))
        self.kinds = list(merged)
        self.sites = list(merged.values())
        # Detectors that no path changes must be silent by themselves: sets are matched on a linear hash of those.
        fixed = self.paths.masks[-1] & ~self.paths.reached[-1]
        codes = np.random.default_rng(0).integers(0, 2**64, size=self.num_detectors, dtype=np.uint64)
        self.hashes = np.zeros(len(self.kinds), np.uint64)
        for index, (flipped, _) in enumerate(self.kinds):
            for detector in range(self.num_detectors):
                if (flipped & fixed) >> detector & 1:
                    self.hashes[index] ^= codes[detector]
        self.known: dict[tuple[int, ...], float] = {}

    def wrong(self, flipped: int, frame: int) -> Fraction:
        """How likely it is that this is kept and wrong."""
        likely = 1.0
        for stage in range(1, self.paths.num_stages + 1):
            # Neighbouring sets agree in the early stages.
            key = (stage, flipped & self.paths.masks[stage], frame & self.paths.touching[stage])
            if key not in self.known:
                self.known[key] = self.paths.likelihood(flipped, frame, stage)
            likely = self.known[key]
            if likely == 0:
                return Fraction(0)
        flips = self.paths.flips(flipped, frame)
        return Fraction(likely) * (Fraction(1, 2) if any(flips.choices) else Fraction(int(flips.flipped != 0)))

    def sets(self, size: int) -> Iterator[tuple[int, ...]]:
        """Yields multisets of kinds, smaller index first, whose fixed detectors may be silent."""
        order = np.argsort(self.hashes, kind="stable")
        hashes = self.hashes[order]
        if size == 1:
            yield from ((int(i),) for i in np.flatnonzero(self.hashes == 0))
            return
        if size == 2:
            begin, end = (np.searchsorted(hashes, self.hashes, side) for side in ("left", "right"))
            for first, (low, high) in enumerate(zip(begin, end, strict=True)):
                yield from ((first, int(other)) for other in order[low:high] if other >= first)
            return
        for first in range(len(self.kinds)):
            sums = self.hashes[first] ^ self.hashes[first:]
            begin, end = (np.searchsorted(hashes, sums, side) for side in ("left", "right"))
            for offset in np.flatnonzero(begin < end):
                second = first + int(offset)
                yield from ((first, second, int(o)) for o in order[begin[offset] : end[offset]] if o >= second)

    def term(self, size: int) -> tuple[Fraction, int]:
        """Returns the sum over all sets of that many faults, at different places, and how many kinds of sets count."""
        total, number = Fraction(0), 0
        for members in self.sets(size):
            flipped = frame = 0
            for member in members:
                flipped ^= self.kinds[member][0]
                frame ^= self.kinds[member][1]
            if wrong := self.wrong(flipped, frame):
                total += wrong * self.weight(members)
                number += 1
        return total, number

    def kept(self) -> Fraction:
        """The sum over all faults of how likely each is to be kept: what is kept is to first order 1 + this x."""
        last = self.paths.num_stages
        return sum(
            (
                Fraction(self.paths.likelihood(*kind, last)) * sum(its.values())
                for kind, its in zip(self.kinds, self.sites, strict=True)
            ),
            Fraction(0),
        )

    def weight(self, members: tuple[int, ...]) -> Fraction:
        """The sum of the shares of all ways to put these kinds of faults at different places."""

        def ways(left: tuple[int, ...], taken: tuple[int, ...]) -> Fraction:
            if not left:
                return Fraction(1)
            its = self.sites[left[0]]
            if len(left) == 1:
                return sum(its.values()) - sum((its.get(site, Fraction(0)) for site in taken), Fraction(0))
            return sum(
                (share * ways(left[1:], (*taken, site)) for site, share in its.items() if site not in taken),
                Fraction(0),
            )

        repeats = 1
        for member in set(members):
            for factor in range(2, members.count(member) + 1):
                repeats *= factor
        return ways(members, ()) / repeats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--no-triples", action="store_true")
    arguments = parser.parse_args()
    rows: list[tuple[object, ...]] = []
    for distance in (3, 5):
        for as_published in (False, True):
            name = "published, with what it has beyond" if as_published else "protocol"
            start = time.monotonic()
            noisy = cultivation(distance, noise=NoiseModel.uniform_depolarizing(1e-3), as_published=as_published)
            found = circuit_distance(noisy)
            what = f"none of {found.lower - 1}, a witness of {found.upper}; {found.num_mechanisms:,} mechanisms"
            rows.append((distance, name, "S", found.distance, what, f"{time.monotonic() - start:.1f} s"))
            start = time.monotonic()
            series = Series(distance, as_published=as_published)
            text = []
            for size in (1, 2) if arguments.no_triples else (1, 2, 3):
                term, number = series.term(size)
                text.append(f"x^{size}: {term}, from {number:,} kinds of sets" if term else f"x^{size}: 0")
                if term:
                    break
            if term and size == 2 and not arguments.no_triples:
                text.append(f"x^3: {series.term(3)[0] - term * series.kept()}")
            distance_t = size if term else f"> {size}"
            rows.append((distance, name, "T", distance_t, "; ".join(text), f"{time.monotonic() - start:.1f} s"))
            print(rows[-2:], flush=True)
    command = "python benchmarks/cultivation/fault_distance.py" + (" --no-triples" if arguments.no_triples else "")
    header = ("distance", "circuit", "gate", "fault distance", "how", "time")
    write_table(Path(__file__).with_suffix(".md"), "The fault distance of cultivation", command, header, rows,
                notes=NOTES)  # fmt: skip


if __name__ == "__main__":
    main()
