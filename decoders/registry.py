"""The decoders that quell brings, by the names under which sinter, its command line and quell's know them."""

import sinter

__all__ = ["sinter_decoders"]


def sinter_decoders() -> dict[str, sinter.Decoder | sinter.Sampler]:
    """Returns quell's own decoders by name.

    The dict is what sinter takes as `custom_decoders`, and this function is what its command line takes as
    `--custom_decoders_module_function quell.decoders:sinter_decoders`. `quell.sweep` and the command `quell` fill it
    in by themselves. This version brings none beyond those of sinter, which need no entry here.

    Examples:
        >>> from quell.decoders import sinter_decoders
        >>> "pymatching" in sinter_decoders()  # sinter's own
        False
    """
    return {}
