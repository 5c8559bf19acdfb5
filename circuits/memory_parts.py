"""What memory experiments of all codes share: their arguments, and how rounds are repeated."""

from quell.circuits.noise import NoiseModel
from quell.errors import InputError, check_integer

__all__ = ["MAX_MEASUREMENTS", "check_memory", "repeated", "shown"]

MAX_MEASUREMENTS = 10**15  # Stim counts them in 64 bits
_MAX_PRINTED = 10**30


def check_memory(rounds: int, basis: str, noise: NoiseModel | None) -> tuple[int, str]:
    """Returns the rounds as an int and the basis as `"X"` or `"Z"`.

    Raises:
        InputError: Rounds are below 1, the basis is no such letter, or the noise is no `NoiseModel`.

    Examples:
        >>> from quell.circuits.memory_parts import check_memory
        >>> check_memory(3, "x", None)
        (3, 'X')
    """
    rounds = check_integer("rounds", rounds, minimum=1)
    if not isinstance(basis, str) or basis.upper() not in ("X", "Z"):
        raise InputError(f"basis must be 'X' or 'Z', got {basis!r}")
    if noise is not None and not isinstance(noise, NoiseModel):
        raise InputError(f"noise must be a NoiseModel or None, got {noise!r}: try NoiseModel.si1000(0.001)")
    return rounds, basis.upper()


def repeated(body: list[str], times: int) -> list[str]:
    """Returns the lines of a circuit's body so many times: as a REPEAT block, unless it would only hide them.

    Examples:
        >>> from quell.circuits.memory_parts import repeated
        >>> repeated(["M 0"], 2), repeated(["M 0"], 1), repeated(["M 0"], 0)
        (['REPEAT 2 {', 'M 0', '}'], ['M 0'], [])
    """
    if times > 1:
        return [f"REPEAT {times} {{", *body, "}"]
    return body * times


def shown(number: int) -> str:
    """Returns a number with its digits in groups, unless Python would refuse to print them.

    Examples:
        >>> from quell.circuits.memory_parts import shown
        >>> shown(1234567)
        '1,234,567'
    """
    return f"{number:,}" if number < _MAX_PRINTED else "a number too long to print"
