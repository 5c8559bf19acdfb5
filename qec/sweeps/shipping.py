"""Decoders on their way to workers: pickled, with what a worker must share for its shots to be worth the same."""

import dataclasses
from collections.abc import Mapping

import cloudpickle

from quell.errors import SweepError
from quell.qec.sweeps.identity import AnyDecoder, base_name, settings_digest
from quell.qec.sweeps.tasks import Job
from quell.qec.sweeps.versions import different_versions, sources_of, versions_of

__all__ = ["ShippedDecoder"]


@dataclasses.dataclass(frozen=True)
class ShippedDecoder:
    """A decoder, or a sampler that takes its place, that can be pickled.

    Attributes:
        pickled: As `cloudpickle` saves it: classes from `__main__` and notebooks come along by value.
        name: With its settings.
        versions: Of the packages that it comes from, which the worker must share.
        compare_settings: Whether the worker must find the settings that stand in its name.
    """

    pickled: bytes
    name: str
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    compare_settings: bool = False

    @staticmethod
    def of(job: Job) -> "ShippedDecoder":
        """Returns the decoder of a job.

        Raises:
            InputError: It cannot be pickled.

        Examples:
            >>> import sinter, stim
            >>> from quell.qec.sweeps.shipping import ShippedDecoder
            >>> from quell.qec.sweeps.tasks import prepare_jobs
            >>> circuit = stim.Circuit("M 0\\nDETECTOR rec[-1]\\nOBSERVABLE_INCLUDE(0) rec[-1]")
            >>> (job,) = prepare_jobs(circuit, "pymatching", {}, num_workers=1)
            >>> ShippedDecoder.of(job).load()
            <sinter._decoding._decoding_pymatching.PyMatchingDecoder object at 0x...>
        """
        pickled = job.pickled_decoder()
        has_settings = base_name(job.decoder_name) != job.decoder_name
        return ShippedDecoder(
            pickled,
            job.decoder_name,
            versions_of(sources_of(job)),
            has_settings and _settings_travel(job.decoder, pickled),
        )

    def load(self) -> AnyDecoder:
        """Returns the decoder.

        Raises:
            SweepError: It is another one here: by the version of its package, or by its settings.
        """
        different = different_versions(self.versions, versions_of(self.versions))
        if different:
            raise SweepError(f"a worker {different}")
        decoder: AnyDecoder = cloudpickle.loads(self.pickled)
        if self.compare_settings:
            here = f"{base_name(self.name)}@{settings_digest(decoder)}"
            if here != self.name:
                raise SweepError(
                    f"on a worker its settings make it {here}: files that it reads, such as weights, or its code are "
                    f"not the same there; copy them to every machine"
                )
        return decoder


def _settings_travel(decoder: AnyDecoder, pickled: bytes) -> bool:
    """Whether another process that loads the same decoder must find the same `settings_digest`.

    So it is for a decoder that says what its settings are, and for one that is pickled without any code. Code that
    travels, from notebooks and function bodies, does not look the same after its journey in every detail.
    """
    if not hasattr(decoder, "settings_id") and b"cloudpickle.cloudpickle" in pickled:
        return False
    try:
        return settings_digest(cloudpickle.loads(pickled)) == settings_digest(decoder)
    except Exception:  # it cannot be loaded here, or has other settings each time
        return False
