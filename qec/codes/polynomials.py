"""Polynomials over GF(2) in variables of finite order, read from text as papers print them: `x^3 + y + y^2`."""

import re
from collections.abc import Mapping

from quell.errors import InputError

__all__ = ["parse_polynomial"]

_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_RAISED = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+")
_FACTOR = re.compile(r"(?P<base>[A-Za-z]|1)(?:\^(?P<exponent>[-+]?\d{1,9}|\([-+]?\d{1,9}\)))?(?:\*(?=.))?")


def parse_polynomial(name: str, text: str, orders: Mapping[str, int]) -> list[tuple[int, ...]]:
    """Returns the exponents of each term, below the orders, in the sequence in which the terms are written.

    Args:
        name: What the polynomial is called in messages.
        text: Terms joined by `+`: `1`, or variables with whole exponents after `^` or `**` or raised, also below 0,
            side by side or joined by `*`.
        orders: For each variable, the smallest positive power of it that is 1.

    Raises:
        InputError: There is no term; one cannot be read or has another variable; or two are equal, and cancel.

    Examples:
        >>> from quell.qec.codes.polynomials import parse_polynomial
        >>> parse_polynomial("a", "x^3 + y**2 + xy^-1 + 1", {"x": 12, "y": 6})
        [(3, 0), (0, 2), (1, 5), (0, 0)]
        >>> parse_polynomial("a", "1 + x^12", {"x": 12, "y": 6})
        Traceback (most recent call last):
        quell.errors.InputError: 1 and x^12 in a are equal, as x^12 = y^6 = 1, and cancel: leave both out
    """
    if not isinstance(text, str):
        raise InputError(f"{name} must be a text such as 'x^3 + y + y^2', got {text!r:.80}")
    spelled = _RAISED.sub(lambda raised: "^" + raised.group().translate(_SUPERSCRIPTS), text)
    plain = re.sub(r"\s+", "", spelled.replace("**", "^"))
    if plain in ("", "0"):
        raise InputError(f"{name} must have at least one term, got {text!r}: write such as 'x^3 + y + y^2'")
    found: dict[tuple[int, ...], str] = {}
    for term in re.split(r"(?<![\^(])\+", plain):
        exponents = _exponents(name, term, orders, text)
        if exponents in found:
            ones = " = ".join(f"{variable}^{order}" for variable, order in orders.items())
            raise InputError(
                f"{found[exponents]} and {term} in {name} are equal, as {ones} = 1, and cancel: leave both out"
            )
        found[exponents] = term
    return list(found)


def _exponents(name: str, term: str, orders: Mapping[str, int], text: str) -> tuple[int, ...]:
    exponents = dict.fromkeys(orders, 0)
    place = 0
    while place < len(term) or not term:
        factor = _FACTOR.match(term, place)
        if factor is None:
            what = f"{term!r}" if term else "an empty term"
            hint = ": over GF(2) minus is plus, write +" if term[place : place + 1] == "-" else ""
            raise InputError(f"{name} must be a sum of powers of {' and '.join(orders)}, got {what} in {text!r}{hint}")
        variable = factor["base"]
        if variable != "1":
            if variable not in orders:
                known = " and ".join(orders)
                raise InputError(f"{name} may have the variables {known}, got {variable!r} in {text!r}")
            exponents[variable] += int((factor["exponent"] or "1").strip("()"))
        place = factor.end()
    return tuple(exponents[variable] % order for variable, order in orders.items())
