"""Claims: weights and metrics that cannot be, or that nobody else sends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from faults.draft import WEIGHT, Draft

NAMES = ("", " ", "\n", "\x00", "vdcs-num-kept", "é" * 1000, "num_examples", "a" * 9999)
NUMBERS = (
    0,
    -1,
    1e-300,
    1e308,
    -1e308,
    2**53,
    2**63,
    10**400,
    -(10**400),
    10**5000,
    float("nan"),
    float("inf"),
    float("-inf"),
)


def _weight(*choices: Any) -> Callable[[Draft, np.random.Generator], Draft]:
    def mutation(draft: Draft, rng: np.random.Generator) -> Draft:
        return draft.with_metrics({WEIGHT: choices[rng.integers(len(choices))]})

    return mutation


def _number(draft: Draft, rng: np.random.Generator) -> Draft:
    """Claim a strange number for a metric that all clients send."""
    number = NUMBERS[rng.integers(len(NUMBERS))]
    return draft.with_metrics({rng.choice(["train_loss", "accuracy"]): number})


def _numbers(draft: Draft, rng: np.random.Generator) -> Draft:
    """Claim strange numbers for a list that all clients send."""
    number = NUMBERS[rng.integers(len(NUMBERS))]
    return draft.with_metrics({"recalls": [number] * len(draft.metrics["recalls"])})


def _list(draft: Draft, rng: np.random.Generator) -> Draft:
    """Send a list for a number, or one of another length."""
    name = rng.choice(list(draft.metrics))
    length = int(10 ** rng.uniform(0, 4)) - 1
    return draft.with_metrics({name: [0.5] * length})


def _posing(draft: Draft, _: np.random.Generator) -> Draft:
    """Name a number so that it may be taken for the list that all clients send."""
    posing = {f"recalls (list of {len(draft.metrics['recalls'])})": 0.5}
    return _without(draft, "recalls").with_metrics(posing)


def _extra(draft: Draft, rng: np.random.Generator) -> Draft:
    name = NAMES[rng.integers(len(NAMES))]
    return draft.with_metrics({name: 1.0})


def _many(draft: Draft, _: np.random.Generator) -> Draft:
    return draft.with_metrics({f"metric {n}": 1.0 for n in range(5000)})


def _missing(draft: Draft, rng: np.random.Generator) -> Draft:
    name = rng.choice([name for name in draft.metrics if name != WEIGHT])
    return _without(draft, name)


def _no_weight(draft: Draft, _: np.random.Generator) -> Draft:
    return _without(draft, WEIGHT)


def _without(draft: Draft, name: str) -> Draft:
    return replace(draft, metrics={k: v for k, v in draft.metrics.items() if k != name})


def _other_kind(draft: Draft, rng: np.random.Generator) -> Draft:
    """Send what only the legacy API lets through."""
    values: list[Any] = ["high", b"high", True, "\n" * 9999, b""]
    name = rng.choice([name for name in draft.metrics if name != WEIGHT])
    return draft.with_metrics({name: values[rng.integers(len(values))]})


CLAIMS = {
    "weight of zero or less": _weight(0, -1, -10.0, -(2**62)),
    "weight no number": _weight(float("nan"), float("inf"), float("-inf")),
    "weight too large": _weight(10**9, 10**12, 2**53, 10**400, 1e300, 10**5000),
    "weight tiny": _weight(1e-300, 5e-324, 0.001),
    "weight in a list": _weight([10], [], [10.0] * 1000),
    "no weight": _no_weight,
    "a strange number": _number,
    "strange numbers in a list": _numbers,
    "a list of another length": _list,
    "a number posing as a list": _posing,
    "a metric more": _extra,
    "thousands of metrics": _many,
    "a metric missing": _missing,
    "a metric of another kind": _other_kind,
}
