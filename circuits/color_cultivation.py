"""Magic-state cultivation on the color code of distance 3, the original that the one on RP² is compared with.

Gidney, Shutty and Jones, arXiv:2409.17595: a magic state is encoded into the Steane code by unitary gates, the checks
are measured once by pairs of ancillas, and a cat state measures the transversal gate that stabilizes it, twice. The
protocol and the square grid are theirs. The gates of the encoder, their order in the round of checks and the tree of
the cat state were found by search, here, with the exact rates of the finished circuit as the measure.
"""

from collections import defaultdict
from typing import Any

import stim

from quell.circuits.cultivation_circuit import CULTIVATION_GATES
from quell.circuits.cultivation_tape import Tape
from quell.circuits.noise import NoiseModel
from quell.errors import InputError, check_integer, check_known

__all__ = ["color_cultivation"]

Site = tuple[float, float]
Pair = tuple[Site, Site]
Layers = defaultdict[int, defaultdict[str, list[Any]]]  # by number and instruction: sites, or pairs of them

_DATA: tuple[Site, ...] = ((0, 0), (1, 1), (2, 1), (3, 0), (3, 2), (2, 3), (4, 0))
# A face has an ancilla for its X check and, one step to the right, one for its Z check; its data are their neighbours.
_FACES: dict[Site, tuple[Site, ...]] = {
    (1, 0): ((0, 0), (1, 1), (2, 1), (3, 0)),
    (1, 2): ((1, 1), (2, 1), (3, 2), (2, 3)),
    (3, 1): ((2, 1), (3, 0), (3, 2), (4, 0)),
}
# The logicals X and Z on two sides of the triangle, which meet in a corner.
_CORNER: Site = (0, 0)
_X_SIDE: tuple[Site, ...] = ((1, 1), (2, 3))
_Z_SIDE: tuple[Site, ...] = ((3, 0), (4, 0))

# The encoder: it spreads what is on _MAGIC over the code; _PLUS start in |+> and all others in |0>. Seven layers.
_MAGIC: Site = (1, 1)
_PLUS: tuple[Site, ...] = ((1, 0), (2, 2), (3, 1))
_ENCODER: tuple[Pair, ...] = (
    ((3, 1), (2, 1)),
    *(((1, 1), (2, 1)), ((2, 2), (1, 2)), ((3, 1), (4, 1))),
    *(((1, 2), (1, 1)), ((2, 2), (2, 3)), ((4, 1), (3, 1))),
    *(((2, 1), (2, 0)), ((1, 0), (1, 1)), ((2, 2), (1, 2)), ((4, 1), (4, 0))),
    *(((2, 1), (2, 2)), ((4, 0), (4, 1)), ((1, 0), (2, 0))),
    *(((1, 0), (0, 0)), ((2, 0), (3, 0)), ((2, 2), (3, 2))),
    *(((0, 0), (1, 0)), ((1, 1), (2, 1)), ((3, 0), (2, 0)), ((3, 2), (2, 2))),
)
_ENCODER_DEPTH = 7

# The cat state: ancillas in |+> share their X with six data qubits, and a tree folds X of all data onto its root. An
# ancilla that does not come back as it was tells of a fault in the tree.
_CAT: tuple[tuple[Pair, ...], ...] = (
    (
        *(((1, 0), (0, 0)), ((1, 2), (1, 1)), ((2, 0), (2, 1))),
        *(((3, 1), (3, 2)), ((2, 2), (2, 3)), ((4, 1), (4, 0))),
    ),
    (((1, 1), (1, 0)), ((2, 1), (2, 2)), ((3, 1), (3, 0))),
    (((2, 1), (1, 1)), ((3, 1), (4, 1))),
    (((2, 1), (3, 1)),),
)
_ROOT: Site = (2, 1)


def color_cultivation(
    distance: int = 3,
    noise: NoiseModel | None = None,
    *,
    gate: str = "S",
    shared_layers: bool = True,
) -> stim.Circuit:
    """Returns the cultivation of a magic state on the [[7, 1, 3]] color code, up to a noiseless projection.

    The circuit has 13 qubits on a square grid, gates between neighbours only, and 19 detectors (x, y, t, stage), all of
    them post-selected: 6 checks after the injection (stage 1), the result of the double check (2), the ancillas of its
    cat state (3), and the 6 checks as the projection finds them (4). Observable 0 is Y of the logical qubit, which is
    in its +1 eigenstate without noise; with `gate="T"` it is (X + Y)/√2, read as X after the inverse of a logical T.

    S stands in for T so that Stim can sample the circuit, and **is optimistic**: an X error inside the double check
    becomes a Clifford error on its way through a layer of T, and two faults can then do what takes three with S. At
    p = 1e-3 of uniform depolarizing noise the published circuit keeps 0.687 of all attempts, and of these 3.4e-7 are
    wrong with S but 8.98e-7 with T (arXiv:2609.18922). This one keeps 0.762; 1.5e-7 are wrong with S and 5.9e-7 with
    T. In layers of their own the transversal gates leave 0.752, 3.0e-7 and 1.0e-6.

    Args:
        distance: The distance of the color code; only 3 is built.
        noise: Put on the finished circuit; None leaves it noiseless.
        gate: `"S"`, or `"T"`: then S[T] and S_DAG[T] stand where a sampler that can should put T and T_DAG. Stim
            takes them as S and S_DAG, for which observable and detectors are as certain as for T.
        shared_layers: Whether the transversal gates share their layers with the preparation and the measurement of
            the cat's ancillas. False gives them layers of their own, as in the published circuit and in that on RP².

    Raises:
        InputError: `distance` is not 3, or `gate` is not known.

    Examples:
        >>> from quell.circuits import NoiseModel
        >>> from quell.circuits.color_cultivation import color_cultivation
        >>> circuit = color_cultivation(3, NoiseModel.uniform_depolarizing(0.001))
        >>> circuit.num_qubits, circuit.num_detectors, circuit.num_ticks
        (13, 19, 30)
        >>> len(circuit.search_for_undetectable_logical_errors(
        ...     dont_explore_detection_event_sets_with_size_above=6,
        ...     dont_explore_edges_with_degree_above=6,
        ...     dont_explore_edges_increasing_symptom_degree=False,
        ... ))
        3
    """
    if check_integer("distance", distance, minimum=3, odd=True) != 3:
        raise InputError(f"distance must be 3, got {distance}: larger color codes are not built; cultivation() has 5")
    check_known("gate", gate, CULTIVATION_GATES)
    if noise is not None and not isinstance(noise, NoiseModel):
        raise InputError(
            f"noise must be a NoiseModel or None, got {noise!r}: try NoiseModel.uniform_depolarizing(0.001)"
        )
    tape = Tape([*_DATA, *(site for pair in _ancilla_pairs() for site in pair)], gate)
    checked = _inject(tape)
    _double_check(tape, shared_layers)
    _project(tape, gate, checked)
    circuit = tape.circuit()
    return circuit if noise is None else noise.apply(circuit)


def _ancilla_pairs() -> list[Pair]:
    return [((x, y), (x + 1, y)) for x, y in _FACES]


def _inject(tape: Tape) -> dict[tuple[Site, str], int]:
    """Writes encoder and round of checks as one schedule, and returns the record of every check."""
    layers: Layers = defaultdict(lambda: defaultdict(list))
    last = _schedule_encoder(layers)
    end = _schedule_round(layers, max(last[site] + 1 for pair in _ancilla_pairs() for site in pair))
    for number in range(end):
        tape.layer(**layers[number])
    tape.layer(M=[z for _, z in _ancilla_pairs()], MX=[x for x, _ in _ancilla_pairs()])
    checked: dict[tuple[Site, str], int] = {}
    for x, z in _ancilla_pairs():
        checked |= {(x, "X"): tape.record[x], (x, "Z"): tape.record[z]}
        for site in (x, z):
            tape.detector(site, 0, 1, [tape.record[site]])
    return checked


def _schedule_encoder(layers: Layers) -> dict[Site, int]:
    """Schedules the encoder as late as possible, so that nothing is prepared before it is needed; returns the last
    layer in which each site is used."""
    first: dict[Site, int] = {}
    last: dict[Site, int] = {}
    depth = _ENCODER_DEPTH
    for pair in reversed(_ENCODER):
        layer = min(first.get(site, depth + 1) for site in pair) - 1
        layers[layer]["CX"].append(pair)
        for site in pair:
            first[site] = layer
            last.setdefault(site, layer)
    for site, layer in first.items():
        if site == _MAGIC:
            layers[layer - 1]["S"].append(site)
        layers[layer - (2 if site == _MAGIC else 1)]["RX" if site in (*_PLUS, _MAGIC) else "R"].append(site)
    return last


def _schedule_round(layers: Layers, start: int) -> int:
    """Schedules the round of checks from layer `start` on, and returns the layer in which ancillas are measured.

    The two ancillas of a face are in a Bell pair between the first and the last layer, so that each of them works for
    both checks of the face and meets only those data qubits that are its neighbours.
    """
    layers[start]["RX"] += [x for x, _ in _ancilla_pairs()]
    layers[start]["R"] += [z for _, z in _ancilla_pairs()]
    layers[start + 1]["CX"] += _ancilla_pairs()
    layer = start + 2
    for kind in "ZX":
        for step in ((0, -1), (1, 0), (0, 1)):
            for pair, data in zip(_ancilla_pairs(), _FACES.values(), strict=True):
                # Sideways is away from the partner: to the left for the first, to the right for the second.
                for ancilla, side in zip(pair, (-1, 1), strict=True):
                    site = (ancilla[0] + side * step[0], ancilla[1] + step[1])
                    if site in data:
                        layers[layer]["CX"].append((ancilla, site) if kind == "X" else (site, ancilla))
            layer += 1
    layers[layer]["CX"] += _ancilla_pairs()
    return layer + 1


def _double_check(tape: Tape, shared_layers: bool) -> None:
    """Measures X of all data between S and its inverse, which is Y of the logical qubit: the cat is folded onto its
    root, read, and unfolded again from a fresh root, so that a wrong result and a spoiled cat both show."""
    ancillas = [ancilla for ancilla, _ in _CAT[0]]
    tape.layer(S=_DATA, RX=ancillas if shared_layers else [])
    if not shared_layers:
        tape.layer(RX=ancillas)
    for gates in _CAT:
        tape.layer(CX=gates)
    tape.layer(MX=[_ROOT])
    tape.detector(_ROOT, 1, 2, [tape.record[_ROOT]])
    tape.layer(RX=[_ROOT])
    for gates in reversed(_CAT):
        tape.layer(CX=gates)
    tape.layer(MX=ancillas, S_DAG=_DATA if shared_layers else [])
    for ancilla in ancillas:
        tape.detector(ancilla, 1, 3, [tape.record[ancilla]])
    if not shared_layers:
        tape.layer(S_DAG=_DATA)


def _project(tape: Tape, gate: str, checked: dict[tuple[Site, str], int]) -> None:
    """Measures all checks and the logical without noise."""
    tape.layer()
    logical = dict.fromkeys((*_X_SIDE, _CORNER), "X")
    if gate == "T":
        onto_corner = [site for other in _Z_SIDE for site in (other, _CORNER)]
        for name, sites in (
            ("CX[noiseless]", onto_corner),
            ("S_DAG[T,noiseless]", [_CORNER]),
            ("CX[noiseless]", onto_corner),
        ):
            tape.instruction(name, sites)
    else:
        logical |= dict.fromkeys(_Z_SIDE, "Z") | {_CORNER: "Y"}
    products = [dict.fromkeys(_FACES[face], kind) for face, kind in checked]
    *records, observable = tape.measure_products([*products, logical])
    for ((x, y), kind), record in zip(checked, records, strict=True):
        tape.detector((x + (kind == "Z"), y), 2, 4, [checked[(x, y), kind], record])
    tape.observable(observable)
