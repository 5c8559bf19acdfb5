"""Magic-state cultivation on RP² codes, as Stim circuits: from one physical S or T gate to a logical state of a
surface code (Chen, Chen, Lu and Pan, arXiv:2503.18657, PRX Quantum 7, 010315).

A state is injected into RP²-3, morphed to the self-dual SRP-3, where S or T on every qubit is a logical gate, and
checked against that gate twice; growth to RP²-5 and a second check follow at distance 5. Everything up to here is
post-selected. Expansion to a rotated surface code and further rounds are decoded.
"""

from collections.abc import Callable

import stim

from quell.circuits.cultivation_stages import Stages
from quell.circuits.cultivation_tape import Tape
from quell.circuits.noise import NoiseModel
from quell.circuits.rp2_lattice import CodeLattice, rp2_lattice, surface_lattice
from quell.circuits.srp_morph import check_cultivation_distance, srp_morph
from quell.errors import InputError, check_integer, check_known

__all__ = ["CULTIVATION_GATES", "CULTIVATION_STAGES", "cultivation", "cultivation_stage"]

CULTIVATION_GATES: tuple[str, ...] = ("S", "T")
CULTIVATION_STAGES: tuple[str, ...] = (
    *("check", "double_check", "escape", "expand", "grow", "inject", "morph", "project", "unmorph"),
)

_MAX_DISTANCE = 101  # of the surface code at the end: 20,000 qubits, and a minute to put noise on them


def cultivation(
    distance: int = 3,
    expand_to: int | None = None,
    noise: NoiseModel | None = None,
    *,
    gate: str = "S",
    rounds: int | None = None,
    as_published: bool = False,
) -> stim.Circuit:
    """Returns a circuit that cultivates a magic state on RP² codes, and expands it to a surface code.

    Detectors of what is post-selected have coordinates (x, y, t, stage), stages counted from 1, so that sinter's
    `--postselect_detectors_with_non_zero_4th_coord` rejects on all of them; those that are decoded have (x, y, t).
    The stages are, at distance 3: 1 injection, 2 a second round of checks, 3 and 4 the double check (its result, its
    partners), 5 the ancillas of the morph. Distance 5 goes on with 6 growth, 7 another round, 8 and 9 the double
    check, 10 the ancillas. Without expansion the final projection is post-selected as one more stage. Corrections
    are Paulis in software, and the final projection is a measurement of all checks and of the logical that is
    tagged `[noiseless]`: noise models put nothing on either.

    With `gate="S"` the circuit is Clifford and observable 0 is Y of the logical qubit. **It is a proxy, and an
    optimistic one**: it takes 3 faults at distance 3 and 4 at distance 5 to pass it, and with true T 2 and 3, so that
    logical error rates of cultivation are higher by half at distance 3 and p = 0.001, and by four times at distance 5
    (Wan and Zapirain, arXiv:2609.18922). With `gate="T"` every S and S_DAG is tagged `[T]` and stands for T and
    T_DAG, as `quell.decoders.sample_true_t` reads it, and observable 0 is (X + Y)/√2. Stim itself does not know the
    tag.

    Args:
        distance: 3 or 5.
        expand_to: Distance of the rotated surface code at the end, odd and at least distance + 2. None stops before.
        noise: Put on the finished circuit; None leaves it noiseless.
        gate: `"S"` or `"T"`.
        rounds: Rounds of checks after the round that expands, at least 1; by default as many as `distance`.
        as_published: Adds what the authors' own circuit files have beyond the protocol, to reproduce their figures:
            a layer of waiting after the first gates; in what is not expanded, another one before the morph is
            undone and no idle noise on the data in the last two layers; in what is expanded, one after the expanding
            round and no idle noise on the data in the last layer; noise of an X gate in place of that of a reset
            on the ancillas of SRP-5 that start in |1>.

    Raises:
        InputError: An argument is outside its limits.

    Examples:
        >>> from quell.circuits import NoiseModel, cultivation
        >>> circuit = cultivation(3, noise=NoiseModel.uniform_depolarizing(0.001))
        >>> circuit.num_qubits, circuit.num_detectors, circuit.num_observables
        (25, 44, 1)
    """
    distance = check_cultivation_distance(distance)
    check_known("gate", gate, CULTIVATION_GATES)
    if noise is not None and not isinstance(noise, NoiseModel):
        raise InputError(
            f"noise must be a NoiseModel or None, got {noise!r}: try NoiseModel.uniform_depolarizing(0.001)"
        )
    surface = _surface(distance, expand_to)
    if surface is None and rounds is not None:
        raise InputError(
            f"rounds = {rounds} come after an expansion, and there is none: pass expand_to, or leave it out"
        )
    rounds = distance if rounds is None else check_integer("rounds", rounds, minimum=1)
    stages = Stages(Tape(_sites(distance, surface), gate), as_published=as_published)
    codes = {d: rp2_lattice(d) for d in (3, 5)}
    morphs = {d: srp_morph(d, _reach(distance, surface)) for d in (3, 5) if d <= distance}
    stages.inject()
    for d in morphs:
        if d == 5:
            stages.grow(morphs[3], codes[3])
        stages.check_round(codes[d])
        stages.morph(morphs[d])
        stages.double_check(morphs[d], codes[d])
    if surface is None:
        stages.unmorph(morphs[distance], codes[distance])
        stages.project(codes[distance], gate, post_selected=True)
    else:
        stages.expand(morphs[distance], codes[distance], surface)
        for index in range(rounds):
            stages.check_round(surface, post_selected=False, busy_data=as_published and index == rounds - 1)
        stages.project(surface, gate, post_selected=False)
    circuit = stages.tape.circuit()
    return circuit if noise is None else noise.apply(circuit)


def cultivation_stage(stage: str, distance: int = 3, expand_to: int | None = None, *, gate: str = "S") -> stim.Circuit:
    """Returns the layers of one stage of cultivation alone, without noise and annotations.

    What it prepares and measures, and the stabilizers that it keeps, can be looked at with `stim.Circuit.has_flow`.

    Args:
        stage: One of `CULTIVATION_STAGES`. `"inject"` prepares RP²-3 and measures its checks; `"check"` is one round
            of checks of RP²-d, and `"escape"` one of the surface code; `"morph"` leads from RP²-d to SRP-d,
            `"double_check"` stays there, `"unmorph"` leads back; `"grow"` leads from SRP-3 to RP²-5, `"expand"` from
            SRP-d to the surface code; `"project"` is the final measurement of RP²-d or, with `expand_to`, of the
            surface code.
        distance: 3 or 5: that of the code which the stage starts from.
        expand_to: Distance of the surface code, for the stages in which there is one.
        gate: `"S"` or `"T"`, as for `cultivation`.

    Raises:
        InputError: An argument is outside its limits, or `expand_to` is missing.

    Examples:
        >>> from quell.circuits import cultivation_stage
        >>> morph, back = cultivation_stage("morph"), cultivation_stage("unmorph")
        >>> (morph + back).num_measurements, morph.num_ticks
        (6, 3)
    """
    check_known("stage", stage, CULTIVATION_STAGES)
    check_known("gate", gate, CULTIVATION_GATES)
    distance = check_cultivation_distance(distance)
    surface = _surface(distance, expand_to)
    if surface is None and stage in ("escape", "expand"):
        raise InputError(f"stage {stage!r} needs a surface code: pass expand_to, for example {2 * distance + 1}")
    if stage == "grow" and distance != 3:
        raise InputError(f"growth starts from distance 3, got {distance}")
    final = 5 if stage == "grow" else distance
    code, morph = rp2_lattice(distance), srp_morph(distance, _reach(final, surface))
    stages = Stages(Tape(_sites(final, surface), gate, annotated=False))
    write: dict[str, Callable[[], None]] = {
        "inject": stages.inject,
        "check": lambda: stages.check_round(code),
        "morph": lambda: stages.morph(morph),
        "double_check": lambda: stages.double_check(morph, code),
        "unmorph": lambda: stages.unmorph(morph, code),
        "grow": lambda: stages.grow(morph, code),
        "expand": lambda: stages.expand(morph, code, surface or code),
        "escape": lambda: stages.check_round(surface or code),
        "project": lambda: stages.project(surface or code, gate, post_selected=False),
    }
    write[stage]()
    return stages.tape.circuit()


def _surface(distance: int, expand_to: int | None) -> CodeLattice | None:
    if expand_to is None:
        return None
    expand_to = check_integer("expand_to", expand_to, minimum=distance + 2, odd=True)
    if expand_to > _MAX_DISTANCE:
        raise InputError(f"expand_to must be <= {_MAX_DISTANCE}, got {expand_to}: lower it")
    return surface_lattice(expand_to)


def _reach(distance: int, surface: CodeLattice | None) -> int:
    """How far out the ancillas of the morphs lie: beyond everything else."""
    return (2 * distance + 1 if surface is None else surface.distance) // 2 + 1


def _sites(distance: int, surface: CodeLattice | None) -> set[tuple[float, float]]:
    code = rp2_lattice(distance) if surface is None else surface
    morph = srp_morph(distance, _reach(distance, surface))
    return {*code.data, *(check.site for check in code.checks), *morph.plus, *morph.others}
