"""The stages of magic-state cultivation on RP² codes, each a function that writes its layers onto a tape.

Detectors carry (x, y, t, stage) where they are post-selected, with stages counted from 1 along the tape, and
(x, y, t) where they are decoded. Chen, Chen, Lu and Pan, arXiv:2503.18657, is the source of the protocol.
"""

from collections.abc import Iterable, Sequence

from quell.circuits.cultivation_tape import Tape
from quell.circuits.rp2_lattice import CodeLattice, rp2_lattice
from quell.circuits.srp_morph import Morph

__all__ = ["Stages"]

Site = tuple[float, float]
Pair = tuple[Site, Site]

# Transversal S or T keeps SRP-d only if every Z^s has the sign (-1)^(|s|/2), and on the RP² code this asks for certain
# signs of its Z checks. Preparation leaves some of them random: X on `always`, and X where the inverted or plain
# result of a check is 1, bring all of them to where they should be.
_ALWAYS: dict[int, tuple[Site, ...]] = {3: ((-1, -1),), 5: ((-1, -1), (-2, 1), (-1, 2))}
_INVERTED: dict[int, tuple[Site, ...]] = {3: ((-0.5, 0.5), (0.5, -0.5)), 5: ((-0.5, -1.5), (1.5, 0.5))}
_CONTROLLED: dict[int, tuple[Pair, ...]] = {
    3: (((-0.5, 0.5), (-1, 0)), ((0.5, -0.5), (1, 0))),
    5: (
        ((-1.5, -0.5), (-2, 0)),
        ((1.5, 0.5), (2, 0)),
        ((-0.5, -1.5), (0, -2)),
        ((0.5, 1.5), (0, 2)),
        ((-1.5, 1.5), (-2, 2)),
        ((1.5, -1.5), (2, -2)),
    ),
}


class Stages:
    """Writes stages onto a tape, one method each, and counts time and post-selected stages along the way.

    Attributes:
        tape: What is written.
        t: The time coordinate of the next detectors: rounds of checks so far.
        stage: The latest post-selected stage.
    """

    def __init__(self, tape: Tape, *, as_published: bool = False) -> None:
        self.tape = tape
        self.as_published = as_published
        self.t = 0
        self.stage = 0
        # The latest record of every check of the code that is held; None where its sign is fixed instead.
        self.checked: dict[Site, int | None] = {}

    def inject(self) -> None:
        """Prepares RP²-3 with S or T on its centre: antipodal Bell pairs, then one round of checks, then signs."""
        lattice = rp2_lattice(3)
        pairs: Sequence[Pair] = [((x, -1), (-x, 1)) for x in (-1, 0, 1)] + [((-1, 0), (1, 0))]
        self.tape.layer(RX=[*(control for control, _ in pairs), (0, 0)], R=[target for _, target in pairs])
        self.tape.layer(CX=pairs, S=[(0, 0)])
        if self.as_published:
            self.tape.layer()
        self.reset_ancillas(lattice)
        for gates in lattice.layers():
            self.tape.layer(CX=gates)
        self.measure_ancillas(lattice, _INVERTED[3])
        self.fix_signs(3)
        self.stage += 1
        for check in lattice.checks:
            # Checks through the centre are random; the antipodal two of a type are so together.
            if (0, 0) not in check.data:
                self.post_select(check.site, [check.site])
        self.post_select((-0.5, -0.5), [(-0.5, -0.5), (0.5, 0.5)])
        self.post_select((0.5, -0.5), [(0.5, -0.5), (-0.5, 0.5)])
        self.end_round(lattice, signs_fixed=True)

    def check_round(self, lattice: CodeLattice, *, post_selected: bool = True, busy_data: bool = False) -> None:
        """Measures all checks once; a detector compares each with its last result.

        Args:
            lattice: The code.
            post_selected: Whether the detectors are post-selected or decoded.
            busy_data: Keeps idle noise off the data while the ancillas are measured.
        """
        self.reset_ancillas(lattice)
        for gates in lattice.layers():
            self.tape.layer(CX=gates)
        self.measure_ancillas(lattice)
        if busy_data:
            self.tape.instruction("I[noiseless]", lattice.data)
        if post_selected:
            self.stage += 1
        for check in lattice.checks:
            records = [*self.known(check.site), self.tape.record[check.site]]
            self.tape.detector(check.site, self.t, self.stage if post_selected else None, records)
        self.end_round(lattice)

    def morph(self, morph: Morph) -> None:
        """Turns RP²-d into SRP-d."""
        gate_noise = self.as_published and morph.others_state == 1
        self.tape.layer(RX=morph.plus, R=() if gate_noise else morph.others)
        if gate_noise:
            self.tape.instruction("R[noiseless]", morph.others)
            self.tape.instruction("X", morph.others)
        elif morph.others_state == 1:
            self.tape.frame(morph.others)
        for gates in morph.layers:
            self.tape.layer(CX=gates)

    def double_check(self, morph: Morph, lattice: CodeLattice) -> None:
        """Measures S X^n S† or T X^n T†, whose eigenstate is the magic state, by folding X^n onto the centre and
        unfolding it again; partners in |+> come back as they were unless something went wrong."""
        qubits = [*lattice.data, *morph.plus, *morph.others]
        partners = [partner for partner, _ in morph.partners]
        inverse = lattice.distance == 5  # there S of all qubits is the inverse of the logical S
        self.transversal(qubits, inverse)
        self.tape.layer(RX=partners)
        folding = (morph.partners, *morph.fold)
        for gates in folding:
            self.tape.layer(CX=gates)
        self.tape.layer(MX=[(0, 0)])
        self.stage += 1
        self.post_select((0, 0), [(0, 0)])
        self.tape.layer(RX=[(0, 0)])
        for gates in reversed(folding):
            self.tape.layer(CX=gates)
        self.tape.layer(MX=partners)
        self.stage += 1
        for partner in partners:
            self.post_select(partner, [partner])
        self.transversal(qubits, not inverse)

    def unmorph(self, morph: Morph, lattice: CodeLattice) -> None:
        """Turns SRP-d back into RP²-d, with nothing after it."""
        *before, last = reversed(morph.layers)
        for index, gates in enumerate(before):
            if self.as_published and index == len(before) - 1:
                self.tape.layer()
            self.tape.layer(CX=gates)
        self.tape.layer(CX=last)
        if self.as_published:
            self.tape.instruction("I[noiseless]", lattice.data)
        self.measure_morph(morph)
        if self.as_published:
            self.tape.instruction("I[noiseless]", lattice.data)

    def grow(self, morph: Morph, old: CodeLattice) -> None:
        """Turns SRP-3 back into RP²-3 and that into RP²-5: a ring of antipodal Bell pairs and a round of checks."""
        new = rp2_lattice(5)
        pairs: Sequence[Pair] = [((x, -2), (-x, 2)) for x in range(-2, 3)] + [((2, y), (-2, -y)) for y in (-1, 0, 1)]
        self.unmorph_into(morph, new, pairs, [], [])
        self.measure_ancillas(new, _INVERTED[5])
        self.fix_signs(5)
        self.stage += 1
        self.compare_across_codes(old, new, self.stage, (), ())
        self.end_round(new, signs_fixed=True)

    def expand(self, morph: Morph, old: CodeLattice, new: CodeLattice) -> None:
        """Turns SRP-d back into RP²-d and that into a rotated surface code, in one round of checks.

        The first ring round the square is made of antipodal Bell pairs, the rest of |0> above and below and of |+>
        at the sides. Detectors are decoded.
        """
        y1 = old.distance // 2 + 1
        half = new.distance // 2
        along_the_bottom: list[Pair] = [((x, -y1), (-x, y1)) for x in range(-y1, y1)]
        up_the_left: list[Pair] = [((-y1, y), (y1, -y)) for y in range(-y1 + 1, y1 + 1)]
        pairs = along_the_bottom + up_the_left
        zero = [site for y in range(y1 + 1, half + 1) for x in range(-y, y) for site in ((x, -y), (-x, y))]
        plus = [site for x in range(y1 + 1, half + 1) for y in range(-x + 1, x + 1) for site in ((-x, y), (x, -y))]
        self.unmorph_into(morph, new, pairs, plus, zero)
        self.measure_ancillas(new)
        if self.as_published:
            self.tape.layer()
        self.compare_across_codes(old, new, None, plus, zero)
        self.end_round(new)

    def project(self, lattice: CodeLattice, gate: str, *, post_selected: bool) -> None:
        """Measures all checks and the logical without noise: Y, or (X + Y)/√2 as X after the inverse of logical T."""
        tape = self.tape
        tape.layer()
        x, z = lattice.logicals["X"], lattice.logicals["Z"]
        if gate == "T":
            others: list[Site] = [site for pair in ((q, (0, 0)) for q in z if q != (0, 0)) for site in pair]
            for name, sites in (("CX[noiseless]", others), ("S_DAG[T,noiseless]", [(0, 0)]), ("CX[noiseless]", others)):
                tape.instruction(name, sites)
            logical = dict.fromkeys(x, "X")
        else:
            logical = dict.fromkeys(z, "Z") | dict.fromkeys(x, "X") | {(0, 0): "Y"}
        products = [dict.fromkeys(check.data, check.kind) for check in lattice.checks]
        *projected, observable = tape.measure_products([*products, logical])
        if post_selected:
            self.stage += 1
        for check, record in zip(lattice.checks, projected, strict=True):
            records = [*self.known(check.site), record]
            tape.detector(check.site, self.t, self.stage if post_selected else None, records)
        tape.observable(observable)

    # What the stages share.

    def transversal(self, qubits: Sequence[Site], inverse: bool) -> None:
        """Opens a layer of S, or S_DAG, on all qubits."""
        if inverse:
            self.tape.layer(S_DAG=qubits)
        else:
            self.tape.layer(S=qubits)

    def reset_ancillas(self, lattice: CodeLattice) -> None:
        """Opens a layer that prepares the ancillas."""
        self.tape.layer(R=lattice.ancillas("Z"), RX=lattice.ancillas("X"))

    def measure_ancillas(self, lattice: CodeLattice, inverted: Iterable[Site] = ()) -> None:
        """Opens a layer that measures the ancillas."""
        self.tape.layer(M=lattice.ancillas("Z"), MX=lattice.ancillas("X"), inverted=inverted)

    def measure_morph(self, morph: Morph) -> None:
        """Opens a layer that measures the morph's ancillas, which are as they were prepared."""
        self.tape.layer(MX=morph.plus, M=morph.others)
        self.stage += 1
        for site in (*morph.plus, *morph.others):
            self.post_select(site, [site])

    def unmorph_into(
        self, morph: Morph, new: CodeLattice, pairs: Sequence[Pair], plus: Sequence[Site], zero: Sequence[Site]
    ) -> None:
        """Writes the way back from SRP-d together with the preparation of a larger code and its gates, all of which
        wait for one another where they could meet."""
        *first, late, last = reversed(morph.layers)
        for gates in first:
            self.tape.layer(CX=gates)
        self.tape.layer(
            RX=[*(control for control, _ in pairs), *plus, *new.ancillas("X")],
            R=[*(target for _, target in pairs), *zero, *new.ancillas("Z")],
        )
        self.tape.layer(CX=[*late, *pairs])
        opening, *rest = new.layers()
        self.tape.layer(CX=[*last, *opening])
        self.measure_morph(morph)
        for later in rest:
            self.tape.layer(CX=later)

    def fix_signs(self, distance: int) -> None:
        """Brings the Z checks to the signs under which S and T are transversal on SRP-d."""
        controlled = [(self.tape.record[check], site) for check, site in _CONTROLLED[distance]]
        self.tape.frame(_ALWAYS[distance], controlled)

    def compare_across_codes(
        self, old: CodeLattice, new: CodeLattice, stage: int | None, plus: Iterable[Site], zero: Iterable[Site]
    ) -> None:
        """Writes the detectors of the first round of a larger code, `plus` and `zero` prepared outside the Bell pairs.

        Checks inside the old square repeat themselves. Those across its seam do so together with their antipodes.
        New ones are certain where all they touch was prepared in their basis, or in Bell pairs both halves of which
        they touch, alone or together with their antipodes.
        """
        inside, steady = set(old.data), {"X": set(plus), "Z": set(zero)}
        seam = old.distance // 2 + 0.5
        ring = {q for q in new.data if max(map(abs, q)) == seam + 0.5}
        # What a check touches that its preparation leaves random, unless the antipode is touched too.
        loose = {check.site: {q for q in check.data if q not in steady[check.kind]} for check in new.checks}
        record = self.tape.record
        for check in new.checks:
            site, mirror = check.site, _mirrored(check.site)
            if inside.issuperset(check.data):
                self.tape.detector(site, self.t, stage, [*self.known(site), record[site]])
            elif max(map(abs, site)) == seam:
                if site in self.checked:
                    self.tape.detector(site, self.t, stage, [*self.known(site), record[site], record[mirror]])
            elif ring.issuperset(loose[site]):
                reflected = set(map(_mirrored, loose[site]))
                if loose[site] == reflected:
                    self.tape.detector(site, self.t, stage, [record[site]])
                elif loose.get(mirror) == reflected and site["XZ".index(check.kind)] < 0:
                    self.tape.detector(site, self.t, stage, [record[site], record[mirror]])

    def post_select(self, site: Site, measured: Iterable[Site]) -> None:
        """Writes a detector of the present stage from the latest measurements at some sites."""
        self.tape.detector(site, self.t, self.stage, [self.tape.record[each] for each in measured])

    def known(self, site: Site) -> list[int]:
        """What the next result of a check is compared with."""
        record = self.checked.get(site)
        return [] if record is None else [record]

    def end_round(self, lattice: CodeLattice, *, signs_fixed: bool = False) -> None:
        """Keeps the results of a round for the next, and moves time on."""
        self.checked = {
            check.site: None if signs_fixed and check.kind == "Z" else self.tape.record[check.site]
            for check in lattice.checks
        }
        self.t += 1


def _mirrored(site: Site) -> Site:
    return (-site[0], -site[1])
