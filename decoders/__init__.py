"""What turns detection events into corrections. Everything here is, or takes, a `sinter.Decoder`."""

__all__: list[str] = []
