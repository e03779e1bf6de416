"""Checks of settings: an error says who got what, and what was expected.

NumPy's numbers are taken where Python's are, and become Python's, since JSON knows no others. True and False are no
numbers.
"""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

LAST_SEED = 2**31 - 1


def whole(where: str, key: str, value: object, least: int, most: int | None = None) -> int:
    """A whole number in a range.

    Args:
        where: Who got it.
        key: What it is called there.
        value: What was given.
        least: The smallest that will do.
        most: The largest that will do, if there is one.

    Raises:
        ValueError: It is something else.
    """
    number = int(value) if isinstance(value, Integral) and not isinstance(value, bool) else None
    if number is None or number < least or (most is not None and number > most):
        span = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{where} got {key}={value!r}; expected a whole number {span}")
    return number


def real(
    where: str,
    key: str,
    value: object,
    *,
    positive: bool = False,
    below: float | None = None,
    most: float | None = None,
) -> float:
    """A finite number that is not negative; whole numbers stay whole.

    Args:
        where: Who got it.
        key: What it is called there.
        value: What was given.
        positive: Whether zero won't do.
        below: What it has to be less than, if there is such a number.
        most: The largest that will do, if there is one.

    Raises:
        ValueError: It is something else.
    """
    number = math.nan
    if isinstance(value, Real) and not isinstance(value, bool):
        number = int(value) if isinstance(value, Integral) else float(value)
    good = math.isfinite(number) and number >= 0 and not (positive and number == 0)
    if not good or (below is not None and number >= below) or (most is not None and number > most):
        ends = "" if below is None else f" below {below:g}"
        ends = ends if most is None else f" of at most {most:g}"
        raise ValueError(
            f"{where} got {key}={value!r}; expected a {'positive' if positive else 'non-negative'} number{ends}"
        )
    return number


def several(where: str, key: str, value: object, example: str) -> tuple[Any, ...]:
    """Several values; a text would be taken for its letters.

    Raises:
        TypeError: It is no tuple and no list.
    """
    if not isinstance(value, (tuple, list)):
        raise TypeError(f"{where} got {key}={value!r}; expected a tuple, such as {example}")
    return tuple(value)


def seed(where: str, value: object) -> int:
    """A seed of what is drawn."""
    return whole(where, "seed", value, 0, LAST_SEED)


def check_count(settings: Any, key: str, least: int) -> None:
    """Refuse a setting that is no whole number, or too small."""
    _set(settings, key, whole(_name(settings), key, getattr(settings, key), least))


def check_number(
    settings: Any, key: str, positive: bool = False, below: float | None = None, most: float | None = None
) -> None:
    """Refuse a setting that is no finite number, or negative, or beyond one of the other bounds (:func:`real`)."""
    value = getattr(settings, key)
    _set(settings, key, real(_name(settings), key, value, positive=positive, below=below, most=most))


def check_flag(settings: Any, key: str) -> None:
    """Refuse a setting that is neither True nor False."""
    value = getattr(settings, key)
    if not isinstance(value, bool):
        raise TypeError(f"{_name(settings)} got {key}={value!r}; expected True or False")


def check_tuple(settings: Any, key: str, example: str) -> None:
    """Refuse a setting that is no tuple and no list (:func:`several`)."""
    _set(settings, key, several(_name(settings), key, getattr(settings, key), example))


def check_type(settings: Any, key: str, kind: type, example: str) -> None:
    """Refuse a setting that is no object of a class."""
    value = getattr(settings, key)
    if not isinstance(value, kind):
        raise TypeError(f"{_name(settings)} got {key}={value!r}; expected a {kind.__name__}, such as {example}")


def _name(settings: Any) -> str:
    return str(getattr(settings, "name", type(settings).__name__))


def _set(settings: Any, key: str, value: object) -> None:
    object.__setattr__(settings, key, value)
