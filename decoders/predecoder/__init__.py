"""The AI pre-decoder: a network that explains most events of a surface code before any global decoder sees them."""

__all__: list[str] = []
