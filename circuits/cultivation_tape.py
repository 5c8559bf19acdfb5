"""Writes a circuit layer by layer in terms of places on a plane, and keeps track of what was measured where."""

from collections.abc import Iterable, Sequence

import stim

__all__ = ["Tape"]

Site = tuple[float, float]
Pair = tuple[Site, Site]


class Tape:
    """A circuit under construction.

    `record` holds, for every site, the index of its latest measurement; detectors and corrections are written in
    terms of such indices, which stay valid when more is measured.
    """

    def __init__(self, sites: Iterable[Site], gate: str = "S", *, annotated: bool = True) -> None:
        """Starts an empty circuit on some sites, whose S gates are what they say, or stand for T if `gate` is `"T"`.

        Without annotations, detectors and observables that are written are left out.
        """
        self._annotated = annotated
        self.record: dict[Site, int] = {}
        self.num_records = 0
        self._tag = "[T]" if gate == "T" else ""
        self._numbers = {site: number for number, site in enumerate(sorted(set(sites)))}
        self._lines: list[str] = []
        self._layers = 0

    def layer(
        self,
        *,
        RX: Iterable[Site] = (),
        R: Iterable[Site] = (),
        CX: Iterable[Pair] = (),
        S: Iterable[Site] = (),
        S_DAG: Iterable[Site] = (),
        M: Iterable[Site] = (),
        inverted: Iterable[Site] = (),
        MX: Iterable[Site] = (),
    ) -> None:
        """Opens a layer and writes its gates; `inverted` names those of `M` whose result is turned round."""
        if self._layers:
            self._lines.append("TICK")
        self._layers += 1
        given = {"RX": list(RX), "R": list(R), "S": list(S), "S_DAG": list(S_DAG)}
        for name, sites in given.items():
            self._one_qubit(name + (self._tag if name.startswith("S") else ""), sites)
        pairs = [site for pair in CX for site in pair]
        self._one_qubit("CX", pairs)
        turned = set(inverted)
        self._measure("M", list(M), turned)
        self._measure("MX", list(MX), set())

    def frame(self, sites: Iterable[Site], controlled: Iterable[tuple[int, Site]] = ()) -> None:
        """Writes Pauli corrections X into the current layer: they are kept in software and have no noise.

        Args:
            sites: Where X is applied always.
            controlled: (record, site): where it is applied if that record is 1.
        """
        self._one_qubit("X[noiseless]", list(sites))
        for record, site in controlled:
            self._lines.append(f"CX {self._rec(record)} {self._number(site)}")

    def instruction(self, name: str, sites: Sequence[Site]) -> None:
        """Writes an instruction, with tag if any, into the current layer."""
        self._one_qubit(name, sites)

    def measure_products(self, products: Sequence[dict[Site, str]]) -> list[int]:
        """Measures Pauli products without noise in the current layer, and returns their records."""
        texts = ["*".join(f"{pauli}{self._number(site)}" for site, pauli in product.items()) for product in products]
        self._lines.append(f"MPP[noiseless] {' '.join(texts)}")
        records = list(range(self.num_records, self.num_records + len(products)))
        self.num_records += len(products)
        return records

    def detector(self, site: Site, t: int, stage: int | None, records: Iterable[int]) -> None:
        """Writes a detector; a stage makes it one that is post-selected."""
        if not self._annotated:
            return
        coordinates = [*site, t] if stage is None else [*site, t, stage]
        numbers = ", ".join(f"{value:g}" for value in coordinates)
        self._lines.append(f"DETECTOR({numbers}) {' '.join(map(self._rec, records))}")

    def observable(self, record: int) -> None:
        """Includes a record in observable 0."""
        if self._annotated:
            self._lines.append(f"OBSERVABLE_INCLUDE(0) {self._rec(record)}")

    def circuit(self) -> stim.Circuit:
        """Returns what was written."""
        coordinates = [f"QUBIT_COORDS({x:g}, {y:g}) {number}" for (x, y), number in self._numbers.items()]
        return stim.Circuit("\n".join([*coordinates, *self._lines]))

    def _number(self, site: Site) -> int:
        return self._numbers[site]

    def _rec(self, record: int) -> str:
        return f"rec[{record - self.num_records}]"

    def _one_qubit(self, name: str, sites: Sequence[Site]) -> None:
        if sites:
            self._lines.append(f"{name} {' '.join(str(self._number(site)) for site in sites)}")

    def _measure(self, name: str, sites: list[Site], turned: set[Site]) -> None:
        if not sites:
            return
        self._lines.append(f"{name} {' '.join(('!' if s in turned else '') + str(self._number(s)) for s in sites)}")
        for site in sites:
            self.record[site] = self.num_records
            self.num_records += 1
