"""What runs on the chip: noiseless Stim circuits, and the noise put on them."""

__all__: list[str] = []
