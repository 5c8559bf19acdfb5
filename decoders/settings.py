"""What a decoder is set to, as text: part of the identity of everything that wraps it."""

import hashlib

import cloudpickle
import sinter

__all__ = ["decoder_settings"]


def decoder_settings(decoder: sinter.Decoder) -> str:
    """Returns the class of a decoder and its settings: what its `settings_id()` says, or a hash of all of its state.

    Examples:
        >>> import sinter
        >>> from quell.decoders.settings import decoder_settings
        >>> class Mine(sinter.Decoder):
        ...     def settings_id(self): return "beam=5"
        >>> decoder_settings(Mine()).split()[1]
        'beam=5'
    """
    own = getattr(decoder, "settings_id", None)
    text = own() if callable(own) else hashlib.sha256(cloudpickle.dumps(decoder)).hexdigest()
    return f"{type(decoder).__module__}.{type(decoder).__qualname__} {text}"
