"""A round to its outcome: what a strategy gives back, or how it fails."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faults.clients import Arrays
from faults.federations import Federation

SEED = 0
"""Strategies that sample or add noise do it alike."""

WIDE = "gG"
"""NumPy's characters for long doubles, real and complex."""

ADDRESS = re.compile(r" at 0x[0-9a-f]+")
"""Where an object is in memory tells nothing."""


@dataclass(frozen=True)
class Outcome:
    """What came of one step of a federation.

    Parameters
    ----------
    arrays : Mapping, optional
        The aggregate, if there is one.
    told : str
        All that can be told apart besides: the metrics, or the error.
    error : Exception, optional
        What was raised.
    """

    arrays: Arrays | None
    told: str
    error: Exception | None = None

    def is_same(self, other: Outcome) -> bool:
        """Tell whether two outcomes are the same, bit for bit."""
        return self.told == other.told and _bits(self.arrays) == _bits(other.arrays)


def outcome_of(federation: Federation, step: Callable[[], Arrays | None]) -> Outcome:
    """Let a federation make one step, whatever comes of it."""
    random.seed(SEED)
    np.random.seed(SEED)  # noqa: NPY002  # Flower's strategies draw from it
    try:
        with np.errstate(all="ignore"):
            arrays = step()
    except Exception as error:  # noqa: BLE001  # to be counted, whatever it is
        return Outcome(None, ADDRESS.sub("", repr(error)), error)
    return Outcome(arrays, repr(federation.metrics))


def _bits(arrays: Arrays | None) -> object:
    if arrays is None:
        return None
    return [(k, v.dtype, v.shape, _content(v)) for k, v in arrays.items()]


def _content(values: NDArray[Any]) -> object:
    """Give the bits; of the widest numbers some are unused, and mean nothing."""
    is_wide = values.dtype.char in WIDE
    return [repr(each) for each in values.flat] if is_wide else values.tobytes()
