"""What turns detection events into corrections. Everything here is, or takes, a `sinter.Decoder`."""

from quell.decoders.registry import sinter_decoders

__all__ = ["sinter_decoders"]
