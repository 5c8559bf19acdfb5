"""The decoders that quell brings, by the names under which sinter, its command line and quell's know them."""

import re

import sinter

from quell.decoders.belief_propagation import BeliefPropagation
from quell.decoders.large_batches import LargeBatches
from quell.decoders.ldpc_decoders import BPLSD, BPOSD
from quell.decoders.predecoder.predecoded import PreDecoded
from quell.errors import InputError, check_integer

__all__ = ["sinter_decoders"]

_DEVICE = re.compile("auto|cpu|cuda(:[0-9]+)?")


def sinter_decoders(
    *, device: str = "auto", batch_size: int | None = None
) -> dict[str, sinter.Decoder | sinter.Sampler]:
    """Returns quell's own decoders by name.

    The dict is what sinter takes as `custom_decoders`, and this function is what its command line takes as
    `--custom_decoders_module_function quell.decoders:sinter_decoders`. `quell.sweep` and the command `quell` fill it
    in by themselves. Neither torch nor ldpc is imported before a decoder that needs it is compiled.

    - `predecoder`: a network's posteriors as the weights of a matching, in each shot; correlated matching where the
      noise is such that the network steps aside.
    - `predecoder-residual-pymatching`, `predecoder-residual-pymatching-correlated`: the network commits what it is sure
      of, and PyMatching gets the events that are left.
    - `bp-pymatching`: the same with belief propagation in place of a network.
    - `bp-osd`, `bp-lsd`: `BPOSD` and `BPLSD` as they are by default, for codes whose errors flip more than two
      detectors. They run on the CPU, whatever the device.

    Args:
        device: `"auto"`, `"cpu"`, `"cuda"` or `"cuda:1"`.
        batch_size: Shots that are sampled and decoded at a time, whatever sinter suggests; None for what sinter does.
            A GPU named as `device` gets 16,384 at a time if this is None, for the decoders that use it.

    Raises:
        InputError: The device is no such name, or the batch size is less than one.

    Examples:
        >>> from quell.decoders import sinter_decoders
        >>> sorted(sinter_decoders())[:2]
        ['bp-lsd', 'bp-osd']
    """

    if not isinstance(device, str) or not _DEVICE.fullmatch(device):
        raise InputError(f"device must be 'auto', 'cpu', 'cuda' or 'cuda:0', …, got {device!r}")
    large_on_cpu = batch_size is not None
    if batch_size is not None:
        check_integer("batch_size", batch_size, minimum=1)
    elif device.startswith("cuda"):
        batch_size = 16384
    decoders: dict[str, sinter.Decoder] = {
        "predecoder": PreDecoded("pymatching-correlated", device=device),
        "bp-pymatching": PreDecoded("pymatching", source=BeliefPropagation(), handover="residual", device=device),
    }
    for inner in ("pymatching", "pymatching-correlated"):
        decoders[f"predecoder-residual-{inner}"] = PreDecoded(inner, handover="residual", device=device)
    on_cpu: dict[str, sinter.Decoder] = {"bp-lsd": BPLSD(), "bp-osd": BPOSD()}
    if batch_size is None:
        return {**decoders, **on_cpu}
    if not large_on_cpu:
        return {**{name: LargeBatches(each, batch_size=batch_size) for name, each in decoders.items()}, **on_cpu}
    return {name: LargeBatches(each, batch_size=batch_size) for name, each in (decoders | on_cpu).items()}
