"""Post-selected sampling that drops a shot at the stage which rejects it, and draws only the faults that happen.

Detector error models of depolarising noise are sums of independent mechanisms, so that sampling these gives what
sampling the whole circuit gives. Most of the kept shots hold no fault at all and cost next to nothing.
"""

import collections
import dataclasses
import time
from collections.abc import Iterator

import numpy as np
import sinter
import stim
from numpy.typing import NDArray

from quell.decoders.post_selection.count_keys import count_gaps, count_stages, gap_bins
from quell.decoders.post_selection.fault_table import FaultTable
from quell.decoders.post_selection.lonely_faults import LonelyFaults
from quell.decoders.post_selection.pruned import pruned_model
from quell.decoders.post_selection.soft_output import SoftOutputDecoder
from quell.decoders.post_selection.stages import kept_errors
from quell.decoders.settings import decoder_settings
from quell.errors import InputError, check_integer, check_known, import_extra

__all__ = ["StageSamples", "StagedSampler", "sample_stages"]

_BATCH_SECONDS = 0.5
_FIRST_BATCH = 1 << 14
_LARGEST_BATCH = 1 << 30
_FOUND_BYTES = 1 << 26  # of kept shots that are held at once


@dataclasses.dataclass(frozen=True, eq=False)
class StageSamples:
    """What sampling in stages gave.

    Attributes:
        shots: Shots that were started.
        kept: int64 (S,): shots alive after each stage.
        num_clean: Kept shots in which no detection event and no observable flip is left.
        events: uint8 (N, ceil(D/8)): the detection events of the other kept shots, bit-packed in little-endian order.
            Post-selected detectors have none.
        flips: uint8 (N, ceil(O/8)): the observables that are flipped in them.
    """

    shots: int
    kept: NDArray[np.int64]
    num_clean: int
    events: NDArray[np.uint8]
    flips: NDArray[np.uint8]


class _Draws:
    """Draws shots of a circuit, batch by batch."""

    def __init__(self, circuit: stim.Circuit, seed: int | None) -> None:
        import_extra("numba", "cultivation")
        self.table = FaultTable.of(circuit)
        self.lonely = LonelyFaults.of(self.table)
        seeds = np.random.SeedSequence(seed)
        self.state = seeds.generate_state(4, np.uint64).astype(np.uint64)
        self.rng = np.random.default_rng(seeds.spawn(1)[0])
        rows = _FOUND_BYTES // (8 * self.table.stage_masks.shape[1])
        self.found = np.zeros((rows, self.table.stage_masks.shape[1]), dtype=np.uint64)

    def draw(self, shots: int) -> Iterator[StageSamples]:
        """Yields what some shots give, in pieces that fit into memory; each is valid until the next."""
        from quell.decoders.post_selection.sampling_kernel import draw_shots

        table = self.table
        rejected, without_fault, to_draw = self.lonely.shared_out(shots, self.rng)
        counted = shots - to_draw
        while counted or to_draw:
            done, rows, clean = draw_shots(
                to_draw, self.state, self.found, rejected, *table.for_kernel(), *self.lonely.for_kernel()
            )
            to_draw -= done
            packed = self.found[:rows].astype("<u8", copy=False).view(np.uint8)
            first = 8 * table.observable_word
            yield StageSamples(
                shots=counted + done,
                kept=counted + done - np.cumsum(rejected),
                num_clean=without_fault + clean,
                events=packed[:, : -(-table.num_detectors // 8)],
                flips=packed[:, first : first + -(-table.num_observables // 8)],
            )
            counted = without_fault = 0
            rejected = np.zeros_like(rejected)


def sample_stages(circuit: stim.Circuit, shots: int, *, seed: int | None = None) -> StageSamples:
    """Samples a post-selected circuit stage by stage, dropping rejected shots early.

    Args:
        circuit: A circuit in which detectors with four coordinates, (x, y, t, stage), reject a shot.
        shots: How many to start, at least 1.
        seed: Of the random numbers; None takes fresh ones.

    Returns:
        The kept shots. They have the distribution that sampling the whole circuit has.

    Raises:
        CircuitError: See `StagedSampler`.
        InputError: `shots` is below 1.
        MissingExtraError: numba is not installed.

    Examples:
        >>> from quell.circuits import NoiseModel, cultivation
        >>> from quell.decoders import sample_stages
        >>> samples = sample_stages(cultivation(3, noise=NoiseModel.uniform_depolarizing(0.001)), 100_000, seed=1)
        >>> bool(abs(samples.kept[-1] / samples.shots - 0.517) < 0.01)
        True
    """
    shots = check_integer("shots", shots, minimum=1)
    if not isinstance(circuit, stim.Circuit):
        raise InputError(f"circuit must be a stim.Circuit, got {type(circuit).__name__}")
    draws = _Draws(circuit, seed)
    pieces = [
        dataclasses.replace(piece, events=piece.events.copy(), flips=piece.flips.copy()) for piece in draws.draw(shots)
    ]
    return StageSamples(
        shots=sum(piece.shots for piece in pieces),
        kept=np.sum([piece.kept for piece in pieces], axis=0),
        num_clean=sum(piece.num_clean for piece in pieces),
        events=np.concatenate([piece.events for piece in pieces]),
        flips=np.concatenate([piece.flips for piece in pieces]),
    )


class StagedSampler(sinter.Sampler):
    """Samples post-selected circuits stage by stage, for `quell.sweep` and `sinter.collect`.

    Shots that post-selection rejects are sinter's discards. Kept shots are decoded if the circuit has detectors to
    decode, and counted as errors where an observable comes out wrong. Custom counts hold the shots alive after each
    stage, `kept_1`, `kept_2`, …, and if the decoder gives gaps, right and wrong shots by their gap in half dB, `C40`
    and `E40` those from 20 to 20.5 dB: `quell.qec.cuts` reads them.

    Args:
        decoder: Decodes what is kept. None takes `SoftOutputDecoder()`. Also the name of a decoder of sinter's, or any
            `sinter.Decoder`; it is given the model without the errors that touch a post-selected detector, split into
            edges where they can be, and else as they are.

    Raises:
        InputError: The decoder is neither. From `compiled_sampler_for_task`: the task has a mask that rejects on other
            detectors than those with four coordinates, or rejects on observables.
        CircuitError: From `compiled_sampler_for_task`: the circuit has no post-selected detector; or T gates; or a
            channel which is no product of independent errors, such as that of biased noise.
        MissingExtraError: From `compiled_sampler_for_task`: numba is not installed.

    Examples:
        >>> import sinter
        >>> from quell.circuits import NoiseModel, cultivation
        >>> from quell.decoders import StagedSampler
        >>> task = sinter.Task(circuit=cultivation(3, noise=NoiseModel.uniform_depolarizing(0.001)))
        >>> counted = StagedSampler().compiled_sampler_for_task(task).sample(1000)
        >>> counted.shots, counted.shots - counted.discards == counted.custom_counts["kept_6"]
        (1000, True)
    """

    def __init__(self, decoder: sinter.Decoder | str | None = None) -> None:
        if isinstance(decoder, str):
            check_known("decoder", decoder, sinter.BUILT_IN_DECODERS)
        elif decoder is not None and not hasattr(decoder, "compile_decoder_for_dem"):
            raise InputError(f"decoder must be a sinter.Decoder, its name, or None, got {decoder!r:.80}")
        self.decoder = decoder

    def settings_id(self) -> str:
        """The decoder and its settings."""
        if isinstance(self.decoder, str):
            return f"decoder={self.decoder}"
        return f"decoder={decoder_settings(self.decoder or SoftOutputDecoder())}"

    def compiled_sampler_for_task(self, task: sinter.Task) -> sinter.CompiledSampler:
        """Returns a sampler of the task's circuit."""
        circuit = task.circuit
        assert circuit is not None
        draws = _Draws(circuit, None)
        _check_masks(task, draws.table)
        return _CompiledStagedSampler(draws, _kept_decoder(circuit, draws.table, self.decoder))


class KeptDecoder:
    """Decodes kept shots: says which are wrong and, if it can, how sure it was."""

    def __init__(self, table: FaultTable) -> None:
        self.num_observable_bytes = -(-table.num_observables // 8)

    def decode(self, events: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.float64] | None]:
        """Returns predictions, uint8 (N, ceil(O/8)), and gaps in dB, float64 (N,), if there are any."""
        return np.zeros((len(events), self.num_observable_bytes), dtype=np.uint8), None


class _SinterDecoder(KeptDecoder):
    def __init__(self, circuit: stim.Circuit, table: FaultTable, decoder: sinter.Decoder) -> None:
        super().__init__(table)
        try:
            model = pruned_model(circuit)
        except InputError:
            # Several observables, or errors that are no edges: a decoder that takes them gets them as they are.
            model = kept_errors(circuit)
        self.compiled = decoder.compile_decoder_for_dem(dem=model)

    def decode(self, events: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.float64] | None]:
        predicted = self.compiled.decode_shots_bit_packed(bit_packed_detection_event_data=np.ascontiguousarray(events))
        if predicted.shape != (len(events), self.num_observable_bytes):
            raise InputError(
                f"the decoder returned predictions of shape {predicted.shape} for {len(events)} shots, and "
                f"{(len(events), self.num_observable_bytes)} were expected: a decoder that discards shots itself "
                f"cannot be used inside StagedSampler"
            )
        return predicted, None


class _SoftDecoder(KeptDecoder):
    def __init__(self, circuit: stim.Circuit, table: FaultTable, decoder: SoftOutputDecoder) -> None:
        super().__init__(table)
        self.compiled = decoder.compile(circuit)

    def decode(self, events: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.float64] | None]:
        return self.compiled.decode_with_gaps(events)


def _kept_decoder(circuit: stim.Circuit, table: FaultTable, decoder: sinter.Decoder | str | None) -> KeptDecoder:
    if table.num_decoded == 0:
        return KeptDecoder(table)
    if decoder is None or isinstance(decoder, SoftOutputDecoder):
        return _SoftDecoder(circuit, table, decoder or SoftOutputDecoder())
    if isinstance(decoder, str):
        decoder = sinter.BUILT_IN_DECODERS[decoder]
    return _SinterDecoder(circuit, table, decoder)


def _check_masks(task: sinter.Task, table: FaultTable) -> None:
    """Refuses what would be passed over in silence."""
    if task.postselected_observables_mask is not None and np.any(task.postselected_observables_mask):
        raise InputError("the task rejects on observables: StagedSampler does not, take sinter's own samplers")
    if task.postselection_mask is None:
        return
    of_stages = np.bitwise_or.reduce(table.stage_masks, axis=0).astype("<u8").view(np.uint8)
    beyond = np.asarray(task.postselection_mask, dtype=np.uint8) & ~of_stages[: len(task.postselection_mask)]
    if beyond.any():
        detector = int(np.flatnonzero(np.unpackbits(beyond, bitorder="little"))[0])
        raise InputError(
            f"the task's postselection_mask rejects on detector {detector}, which has no stage: give it four "
            f"coordinates, (x, y, t, stage), or leave out the mask"
        )


class _CompiledStagedSampler(sinter.CompiledSampler):
    def __init__(self, draws: _Draws, decoder: KeptDecoder) -> None:
        self.draws = draws
        self.decoder = decoder
        self.batch = _FIRST_BATCH
        nothing = np.zeros((1, -(-draws.table.num_detectors // 8)), dtype=np.uint8)
        self.clean_prediction, self.clean_gap = decoder.decode(nothing)

    def handles_throttling(self) -> bool:
        """True: a call takes as many shots as take half a second, of those that are asked for."""
        return True

    def sample(self, suggested_shots: int) -> sinter.AnonTaskStats:
        """Samples at most that many shots."""
        start = time.monotonic()
        shots = max(1, min(suggested_shots, self.batch))
        counts: collections.Counter[str] = collections.Counter()
        kept = np.zeros(self.draws.table.num_stages, dtype=np.int64)
        errors = 0
        for piece in self.draws.draw(shots):
            kept += piece.kept
            errors += self._count(piece, counts)
        count_stages(counts, kept)
        seconds = time.monotonic() - start
        if shots == self.batch:
            ratio = _BATCH_SECONDS / max(seconds, 1e-6)
            self.batch = int(min(max(self.batch * min(4.0, ratio), 1), _LARGEST_BATCH))
        return sinter.AnonTaskStats(
            shots=shots,
            errors=errors,
            discards=shots - int(kept[-1]),
            seconds=seconds,
            custom_counts=counts,
        )

    def _count(self, piece: StageSamples, counts: collections.Counter[str]) -> int:
        """Counts gaps and returns how many kept shots were decoded wrongly."""
        predicted, gaps = self.decoder.decode(piece.events)
        wrong = (predicted != piece.flips).any(axis=1)
        errors = int(wrong.sum())
        clean_is_wrong = bool(self.clean_prediction.any())
        errors += piece.num_clean * clean_is_wrong
        if gaps is not None:
            count_gaps(counts, gap_bins(gaps), wrong)
        if self.clean_gap is not None and piece.num_clean:
            counts[f"{'E' if clean_is_wrong else 'C'}{gap_bins(self.clean_gap)[0]}"] += piece.num_clean
        return errors
