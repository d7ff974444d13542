"""Numbers of a saved state: what cannot have been counted is refused."""

from math import nan
from typing import cast

MOST = 2**53
"""No server counts further."""

LARGEST = 1e100
"""Products of three such numbers are finite."""


def checked_count(value: object) -> int:
    """Return a count.

    Raises
    ------
    ValueError
        If it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < MOST:
        raise ValueError(f"{value!r} is no count")
    return value


def checked_number(value: object) -> float:
    """Return a number that sums over rounds can have come to.

    Raises
    ------
    ValueError
        If it is none.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    number = float(cast(float, value)) if is_number else nan
    if not is_usable(number):
        raise ValueError(f"{value!r} is no number that was added up")
    return number


def is_usable(number: float) -> bool:
    """Tell whether a number can be reckoned with."""
    return abs(number) <= LARGEST
