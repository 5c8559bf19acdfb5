import pathlib

from sinter import CompiledDecoder, CompiledSampler, Decoder, Sampler, Task

class StimThenDecodeSampler(Sampler):
    def __init__(
        self,
        *,
        decoder: Decoder,
        count_observable_error_combos: bool,
        count_detection_events: bool,
        tmp_dir: pathlib.Path | None,
    ) -> None: ...
    def compiled_sampler_for_task(self, task: Task) -> CompiledSampler: ...

def _compile_decoder_with_disk_fallback(
    decoder: Decoder, task: Task, tmp_dir: pathlib.Path | None
) -> CompiledDecoder: ...
