"""Values: numbers in the right places that no honest training gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faults.draft import Draft, decoded, encoded

Floats = NDArray[np.floating[Any]]
Change = Callable[[Floats, np.random.Generator], Floats]

LARGEST_ALLOWED = 9e14
LARGEST_HALF = 6e4
FIRST_REFUSED, LARGEST_FLOAT32 = 15.1, 38.0
"""Powers of ten."""


def _in_one(change: Change) -> Callable[[Draft, np.random.Generator], Draft]:
    """Change one array of floating-point numbers."""

    def mutation(draft: Draft, rng: np.random.Generator) -> Draft:
        key = rng.choice([k for k in draft.arrays if not k.endswith("tracked")])
        return draft.with_array(key, change(decoded(draft.arrays[key]), rng))

    return mutation


def _in_all(change: Change) -> Callable[[Draft, np.random.Generator], Draft]:
    """Change every array of floating-point numbers."""

    def mutation(draft: Draft, rng: np.random.Generator) -> Draft:
        for key, data in draft.arrays.items():
            if not key.endswith("tracked"):
                draft = draft.with_bytes(key, encoded(change(decoded(data), rng)))
        return draft

    return mutation


def _one_value(value: float) -> Change:
    def change(values: Floats, rng: np.random.Generator) -> Floats:
        values = values.copy()
        values.flat[rng.integers(values.size)] = value
        return values

    return change


def _all_values(value: float) -> Change:
    return lambda values, _: np.full_like(values, value)


def _too_large(values: Floats, rng: np.random.Generator) -> Floats:
    size = 10 ** rng.uniform(FIRST_REFUSED, LARGEST_FLOAT32)
    return _one_value(rng.choice([-1, 1]) * size)(values, rng)


def _large(values: Floats, rng: np.random.Generator) -> Floats:
    is_half = values.dtype == np.float16
    largest = LARGEST_HALF if is_half else LARGEST_ALLOWED
    return np.full_like(values, rng.choice([-1, 1]) * largest)


def _noise(values: Floats, rng: np.random.Generator) -> Floats:
    scale = 10 ** rng.uniform(-3, 6)
    return (values + scale * rng.normal(size=values.shape)).astype(values.dtype)


def _negative_variance(draft: Draft, rng: np.random.Generator) -> Draft:
    for key in [k for k in draft.arrays if k.endswith("running_var")]:
        values = decoded(draft.arrays[key])
        draft = draft.with_array(key, _one_value(-rng.exponential())(values, rng))
    return draft


def _counter(draft: Draft, rng: np.random.Generator) -> Draft:
    """Count batches in negative, huge or broken numbers."""
    keys = [k for k in draft.arrays if k.endswith("tracked")]
    choices: list[int | float] = [-1, 2**62, -(2**63), 0.5, np.inf]
    value = np.array(choices[rng.integers(len(choices))])
    return draft.with_array(keys[0], value) if keys else draft


VALUES = {
    "one NaN": _in_one(_one_value(np.nan)),
    "NaN everywhere": _in_all(_all_values(np.nan)),
    "one infinity": _in_one(_one_value(np.inf)),
    "one negative infinity": _in_one(_one_value(-np.inf)),
    "one value too large": _in_one(_too_large),
    "the largest values allowed": _in_one(_large),
    "subnormal values": _in_all(_all_values(1e-42)),
    "zeros everywhere": _in_all(_all_values(0.0)),
    "noise of any size": _in_all(_noise),
    "one array negated": _in_one(lambda values, _: -values),
    "negative variance": _negative_variance,
    "broken counter": _counter,
}
