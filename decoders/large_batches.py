"""Sampling in batches that fill a GPU, in place of batches that grow from one shot to a thousand."""

import sinter
from sinter._decoding._stim_then_decode_sampler import StimThenDecodeSampler

from quell.decoders.settings import decoder_settings
from quell.errors import check_integer

__all__ = ["LargeBatches"]


class LargeBatches(sinter.Sampler):
    """Samples with Stim and decodes, always in batches of one size.

    sinter and quell let the batches of a decoder grow up to 1,024 shots. A sampler may choose for itself; in return the
    counts of detection events and of combinations of observables, which sinter keeps for decoders, are not kept.

    Args:
        decoder: Any decoder.
        batch_size: Shots in a batch.

    Raises:
        InputError: The batch size is less than one.

    Examples:
        >>> import sinter, stim
        >>> from quell.decoders.large_batches import LargeBatches
        >>> circuit = stim.Circuit.generated("repetition_code:memory", distance=3, rounds=3,
        ...                                  before_round_data_depolarization=0.1)
        >>> task = sinter.Task(circuit=circuit, detector_error_model=circuit.detector_error_model())
        >>> sampler = LargeBatches(sinter.BUILT_IN_DECODERS["pymatching"], batch_size=5000)
        >>> sampler.compiled_sampler_for_task(task).sample(1_000_000).shots
        5000
    """

    def __init__(self, decoder: sinter.Decoder, *, batch_size: int = 16384) -> None:
        self.decoder = decoder
        self.batch_size = check_integer("batch_size", batch_size, minimum=1)

    def settings_id(self) -> str:
        """Returns the decoder's settings: the batches change no answer."""
        return decoder_settings(self.decoder)

    def compiled_sampler_for_task(self, task: sinter.Task) -> sinter.CompiledSampler:
        """Prepares for a task, as sinter asks."""
        whole = StimThenDecodeSampler(
            decoder=self.decoder, count_observable_error_combos=False, count_detection_events=False, tmp_dir=None
        )
        return _LargeBatches(whole.compiled_sampler_for_task(task), self.batch_size)


class _LargeBatches(sinter.CompiledSampler):
    def __init__(self, sampler: sinter.CompiledSampler, batch_size: int) -> None:
        self.sampler, self.batch_size = sampler, batch_size

    def sample(self, suggested_shots: int) -> sinter.AnonTaskStats:
        """Samples a batch, or fewer shots where fewer are wanted."""
        return self.sampler.sample(min(suggested_shots, self.batch_size))

    def handles_throttling(self) -> bool:
        """Says that the size of batches is this sampler's own affair."""
        return True
