"""BP+OSD and BP+LSD against enumeration, majority votes, the distance of a code, and matching on the same shots."""

import itertools
import pickle
import sys
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import sinter
import stim
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import quell
from quell.circuits import NoiseModel, css_memory, rotated_surface_memory
from quell.decoders import BPLSD, BPOSD
from quell.decoders.check_matrices import CheckMatrices
from quell.errors import InputError, MissingExtraError, UnknownNameError
from quell.qec.codes import CSSCode, bivariate_bicycle

Bits = NDArray[np.uint8]
BOTH: list[BPOSD | BPLSD] = [BPOSD(), BPLSD()]
UNIFORM = NoiseModel.uniform_depolarizing(0.006)


def decoded(decoder: sinter.Decoder, dem: stim.DetectorErrorModel, events: Bits) -> Bits:
    """Predictions, one byte a bit."""
    packed = np.packbits(events, axis=1, bitorder="little")
    found = decoder.compile_decoder_for_dem(dem=dem).decode_shots_bit_packed(bit_packed_detection_event_data=packed)
    assert found.shape == (len(events), -(-dem.num_observables // 8))
    return np.unpackbits(found, axis=1, count=dem.num_observables, bitorder="little")


@st.composite
def models(draw: st.DrawFn) -> tuple[stim.DetectorErrorModel, list[tuple[float, tuple[int, ...], tuple[int, ...]]]]:
    """A model with few errors, and the errors as they are meant; what they flip depends on the detectors alone."""
    errors, model = [], stim.DetectorErrorModel("detector D3 \n logical_observable L9")
    for _ in range(draw(st.integers(0, 6))):
        p = draw(st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.9, 1.0]))
        detectors = tuple(draw(st.lists(st.integers(0, 3), unique=True, max_size=4)))
        observables = tuple(sorted({sum(detectors), 9 * bool(detectors)}))
        errors.append((p, detectors, observables))
        targets = [stim.target_relative_detector_id(d) for d in detectors]
        if len(targets) > 1 and draw(st.booleans()):
            targets.insert(1, stim.target_separator())
        model.append("error", p, targets + [stim.target_logical_observable_id(o) for o in observables])
    return model, errors


@given(models())
@settings(max_examples=150, deadline=None)
def test_matrices_have_the_distribution_of_the_model(
    given_model: tuple[stim.DetectorErrorModel, list[tuple[float, tuple[int, ...], tuple[int, ...]]]],
) -> None:
    model, errors = given_model
    # Without detectors nobody sees an error, and it counts as what it mostly does.
    errors = [error if error[1] else (float(error[0] > 0.5), *error[1:]) for error in errors]
    expected = distribution([p for p, _, _ in errors], [(set(d), set(o)) for _, d, o in errors])
    matrices = CheckMatrices.of(model)
    assert matrices.checks.shape == (4, len(matrices.priors))
    assert matrices.observables.shape == (10, len(matrices.priors))
    checks, observables = matrices.checks.toarray(), matrices.observables.toarray()
    assert len({tuple(column) for column in checks.T}) == len(matrices.priors)
    assert ((matrices.priors > 0) & (matrices.priors <= 0.5)).all()
    columns = [
        (set(np.flatnonzero(c).tolist()), set(np.flatnonzero(o).tolist()))
        for c, o in zip(checks.T, observables.T, strict=True)
    ]
    always = (
        set(np.flatnonzero(matrices.flipped_detectors).tolist()),
        set(np.flatnonzero(matrices.flipped_observables).tolist()),
    )
    found = distribution([*matrices.priors.tolist(), 1.0], [*columns, always])
    assert found.keys() == expected.keys()
    assert all(found[key] == pytest.approx(expected[key]) for key in expected)


Flips = tuple[set[int], set[int]]


def distribution(rates: Sequence[float], flips: Sequence[Flips]) -> dict[tuple[frozenset[int], frozenset[int]], float]:
    total: defaultdict[tuple[frozenset[int], frozenset[int]], float] = defaultdict(float)
    for happen in itertools.product((0, 1), repeat=len(rates)):
        weight = float(np.prod([p if yes else 1 - p for p, yes in zip(rates, happen, strict=True)]))
        detectors: set[int] = set()
        observables: set[int] = set()
        for yes, (d, o) in zip(happen, flips, strict=True):
            if yes:
                detectors, observables = detectors ^ d, observables ^ o
        if weight:
            total[frozenset(detectors), frozenset(observables)] += weight
    return total


def test_of_errors_that_look_alike_the_likelier_counts() -> None:
    matrices = CheckMatrices.of(stim.DetectorErrorModel("error(0.1) D0 L0 \n error(0.2) D0 L1 \n error(0.05) D0 L0"))
    assert matrices.priors.tolist() == pytest.approx([(1 - 0.8 * 0.9 * 0.6) / 2])
    assert matrices.observables.toarray().tolist() == [[0], [1]]


@pytest.mark.parametrize("decoder", BOTH, ids=repr)
def test_majorities_decide_on_a_repetition_code(decoder: BPOSD | BPLSD) -> None:
    """All 64 syndromes of 7 bits; on a chain belief propagation is exact, and the majority the only best answer."""
    chain = ["error(0.1) D0 L0", *(f"error(0.1) D{i} D{i + 1}" for i in range(5)), "error(0.1) D5"]
    dem = stim.DetectorErrorModel("\n".join(chain))
    events = np.array(list(itertools.product((0, 1), repeat=6)), dtype=np.uint8)
    bits = np.array(list(itertools.product((0, 1), repeat=7)), dtype=np.uint8)
    first = {tuple(b[:-1] ^ b[1:]): b[0] for b in bits if b.sum() <= 3}
    assert decoded(decoder, dem, events)[:, 0].tolist() == [first[tuple(row)] for row in events.tolist()]


@pytest.mark.parametrize(
    "decoder",
    [
        *BOTH,
        BPOSD(osd_method="osd_0", max_iterations=3, bp_method="product_sum"),
        BPOSD(osd_method="osd_e", osd_order=4, bp_schedule="parallel", min_sum_scale=0),
        BPLSD(lsd_method="lsd_cs", max_iterations=2, bits_per_step=3),
    ],
    ids=repr,
)
def test_corrections_explain_the_events(decoder: BPOSD | BPLSD) -> None:
    """In a model whose observables are its detectors, predictions are the events themselves."""
    steane = [[1, 0, 1, 0, 1, 0, 1], [0, 1, 1, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1, 1]]
    circuit = css_memory(CSSCode(steane, steane), 3, noise=NoiseModel.uniform_depolarizing(0.02))
    doubled = stim.DetectorErrorModel()
    for error in circuit.detector_error_model().flattened():
        if error.type == "error":
            detectors = [target for target in error.targets_copy() if target.is_relative_detector_id()]
            copies = [stim.target_logical_observable_id(target.val) for target in detectors]
            doubled.append("error", error.args_copy(), detectors + copies)
    events = circuit.compile_detector_sampler(seed=5).sample(300).astype(np.uint8)
    assert events.any(axis=1).sum() > 200
    assert np.array_equal(decoded(decoder, doubled, events), events)


@pytest.mark.parametrize("decoder", BOTH, ids=repr)
def test_fewer_errors_than_half_the_distance_are_corrected(decoder: BPOSD | BPLSD) -> None:
    """All single and 300 double X errors of [[72, 12, 6]]; both find them, which half the distance allows."""
    code = bivariate_bicycle(6, 6, "x^3 + y + y^2", "y^3 + x + x^2")
    dem = css_memory(code, 1, noise=NoiseModel.code_capacity(0.01), detectors="basis").detector_error_model()
    rng = np.random.default_rng(3)
    errors = np.concatenate([np.eye(72, dtype=np.uint8), np.zeros((300, 72), dtype=np.uint8)])
    for row in errors[72:]:
        row[rng.choice(72, 2, replace=False)] = 1
    events = np.zeros((len(errors), dem.num_detectors), dtype=np.uint8)
    events[:, :36] = errors @ code.z_checks.T % 2
    assert np.array_equal(decoded(decoder, dem, events), errors @ code.logical_z.T % 2)


@pytest.mark.parametrize("decoder", BOTH, ids=repr)
def test_surface_codes_are_decoded_as_well_as_by_matching(decoder: BPOSD | BPLSD) -> None:
    """Paired, on the same shots. At 5 sigma of the shots on which they differ it fails once in 3 million seeds."""
    circuit = rotated_surface_memory(3, 3, "Z", UNIFORM)
    dem = circuit.detector_error_model(decompose_errors=True)
    events, flips = circuit.compile_detector_sampler(seed=7).sample(3000, separate_observables=True)
    ours = decoded(decoder, dem, events.astype(np.uint8))[:, 0] != flips[:, 0]
    matching: Any = sinter.BUILT_IN_DECODERS["pymatching"]
    theirs = decoded(matching, dem, events.astype(np.uint8))[:, 0] != flips[:, 0]
    apart = (ours != theirs).sum()
    assert ours.sum() - theirs.sum() < 5 * np.sqrt(apart)
    assert 10 < ours.sum() < flips.sum() / 4


@pytest.mark.parametrize("method", ["osd_e", "osd_cs"])
def test_no_more_columns_are_tried_than_there_are(method: Any) -> None:
    """Three columns of rank 2: one is free, and not ten."""
    dem = stim.DetectorErrorModel("error(0.1) D0 L0 \n error(0.1) D1 L1 \n error(0.1) D0 D1 L0 L1")
    decoder = BPOSD(osd_method=method, osd_order=10, max_iterations=1)
    assert decoded(decoder, dem, np.array([[1, 1], [1, 0], [0, 1]], dtype=np.uint8)).tolist() == [
        [1, 1],
        [1, 0],
        [0, 1],
    ]


@pytest.mark.parametrize("decoder", BOTH, ids=repr)
def test_trivial_shots_and_trivial_models(decoder: BPOSD | BPLSD) -> None:
    dem = stim.DetectorErrorModel("error(0.1) D0 D1 L0 \n error(0.1) D1 L9")
    assert not decoded(decoder, dem, np.zeros((3, 2), dtype=np.uint8)).any()
    assert decoded(decoder, dem, np.zeros((0, 2), dtype=np.uint8)).shape == (0, 10)
    # What always happens is no event.
    sure = stim.DetectorErrorModel("error(1) D0 L1 \n error(0.9) D1 L0 \n error(0) D1")
    assert decoded(decoder, sure, np.array([[1, 1], [1, 0]], dtype=np.uint8)).tolist() == [[1, 1], [0, 1]]
    nothing = stim.DetectorErrorModel("detector D2 \n logical_observable L0")
    assert not decoded(decoder, nothing, np.array([[0, 1, 0]], dtype=np.uint8)).any()


@pytest.mark.parametrize("decoder", BOTH, ids=repr)
def test_compiled_decoders_take_packed_events_only(decoder: BPOSD | BPLSD) -> None:
    compiled = decoder.compile_decoder_for_dem(dem=stim.DetectorErrorModel("error(0.1) D8 L0"))
    for events in (np.zeros((5, 9), dtype=np.bool_), np.zeros((5, 1), dtype=np.uint8), [[0, 0]]):
        with pytest.raises(InputError, match=r"uint8 of shape \(shots, 2\) for 9 bits"):
            compiled.decode_shots_bit_packed(bit_packed_detection_event_data=events)  # type: ignore[arg-type]


def test_settings_are_named_and_travel() -> None:
    every = [
        BPOSD(),
        BPOSD(max_iterations=10),
        BPOSD(bp_method="product_sum"),
        BPOSD(bp_schedule="parallel"),
        BPOSD(min_sum_scale=1),
        BPOSD(osd_method="osd_0"),
        BPOSD(osd_order=4),
        BPLSD(),
        BPLSD(lsd_method="lsd_cs"),
        BPLSD(lsd_method="lsd_cs", lsd_order=0),
        BPLSD(bits_per_step=2),
    ]
    assert len({each.settings_id() for each in every}) == len(every)
    for each in every:
        again = pickle.loads(pickle.dumps(each))
        assert (again.settings_id(), repr(again)) == (each.settings_id(), repr(each))
        assert repr(eval(repr(each))) == repr(each)
    # What min-sum is scaled by is no setting of the other method.
    first, second = (BPOSD(bp_method="product_sum", min_sum_scale=scale) for scale in (0.5, 0.9))
    assert first.settings_id() == second.settings_id()


@pytest.mark.parametrize(
    ("make", "options", "error", "message"),
    [
        (BPOSD, {"max_iterations": 0}, InputError, "max_iterations must be an integer >= 1, got 0"),
        (BPOSD, {"bp_method": "min-sum"}, UnknownNameError, "did you mean 'min_sum'"),
        (BPOSD, {"bp_schedule": "random"}, UnknownNameError, "Known: parallel, serial"),
        (BPOSD, {"min_sum_scale": 1.5}, InputError, "min_sum_scale must be a probability between 0 and 1"),
        (BPOSD, {"osd_method": "osd"}, UnknownNameError, "Known: osd_0, osd_cs, osd_e"),
        (BPOSD, {"osd_order": -1}, InputError, "osd_order must be an integer >= 0, got -1"),
        (
            BPOSD,
            {"osd_method": "osd_0", "osd_order": 3},
            InputError,
            "osd_order must be 0 for osd_method='osd_0', got 3",
        ),
        (BPOSD, {"osd_method": "osd_e", "osd_order": 16}, InputError, "osd_order must be <= 15 for osd_method='osd_e'"),
        (BPLSD, {"lsd_method": "osd_0"}, UnknownNameError, "Known: lsd_0, lsd_cs, lsd_e"),
        (BPLSD, {"lsd_method": "lsd_0", "lsd_order": 3}, InputError, "for more, lsd_method='lsd_cs'"),
        (BPLSD, {"bits_per_step": 0}, InputError, "bits_per_step must be an integer >= 1, got 0"),
    ],
)
def test_settings_have_limits(make: Any, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make(**options)


def test_without_ldpc_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ldpc", None)
    with pytest.raises(MissingExtraError, match=r"ldpc is not installed: this needs pip install 'quell\[ldpc\]'"):
        BPOSD().compile_decoder_for_dem(dem=stim.DetectorErrorModel("error(0.1) D0"))


def test_sweeps_know_them_by_name() -> None:
    code = bivariate_bicycle(6, 6, "x^3 + y + y^2", "y^3 + x + x^2")
    circuit = css_memory(code, 2, noise=NoiseModel.uniform_depolarizing(0.002), detectors="basis")
    found = quell.sweep(circuit, ["bp-osd", "bp-lsd"], max_shots=200, num_workers=1, progress=False)
    assert {stats.decoder.partition("@")[0] for stats in found} == {"bp-osd", "bp-lsd"}
    assert all(stats.shots >= 200 and stats.errors < stats.shots / 10 for stats in found)
