"""Envelopes: records too many or too few, errors, and answers that come twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from faults.draft import Draft


def _records(names: tuple[str, ...], rng: np.random.Generator) -> tuple[str, ...]:
    """Give a record a different name, a second one, or leave it out."""
    choices = [(), ("others",), (*names, "second"), ("\n",), ("x" * 10_000,)]
    return choices[rng.integers(len(choices))]


def _array_records(draft: Draft, rng: np.random.Generator) -> Draft:
    return replace(draft, array_records=_records(draft.array_records, rng))


def _metric_records(draft: Draft, rng: np.random.Generator) -> Draft:
    return replace(draft, metric_records=_records(draft.metric_records, rng))


def _exchanged(draft: Draft, _: np.random.Generator) -> Draft:
    return replace(
        draft, array_records=draft.metric_records, metric_records=draft.array_records
    )


def _config(draft: Draft, rng: np.random.Generator) -> Draft:
    """Send a record that Flower does not aggregate."""
    values: list[Any] = ["text", b"bytes", True, [1, 2], ["a"] * 1000, 10**18]
    return replace(draft, configs={"note": values[rng.integers(len(values))]})


def _empty(draft: Draft, _: np.random.Generator) -> Draft:
    return replace(draft, array_records=(), metric_records=(), arrays={}, metrics={})


def _error(draft: Draft, _: np.random.Generator) -> Draft:
    return replace(draft, is_error=True)


def _blank(draft: Draft, _: np.random.Generator) -> Draft:
    return replace(draft, is_blank=True)


def _twice(draft: Draft, rng: np.random.Generator) -> Draft:
    return replace(draft, num_copies=int(rng.integers(2, 5)))


ENVELOPES = {
    "other array records": _array_records,
    "other metric records": _metric_records,
    "record names exchanged": _exchanged,
    "a config record": _config,
    "no records": _empty,
    "an error": _error,
    "neither content nor error": _blank,
    "answered again": _twice,
}
