"""Honest update to draft: a reply of either API before it is sent, to tamper with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

NUMPY = "numpy.ndarray"
WEIGHT = "num-examples"


@dataclass(frozen=True)
class Draft:
    """What one client is about to send.

    Parameters
    ----------
    client : int
        Its number, from 1.
    arrays : Mapping[str, bytes]
        NumPy's file format by key. The legacy API sends them without the keys.
    metrics : Mapping[str, Any]
        Among them the weight, which the legacy API sends in a field of its own.
    array_records, metric_records : tuple of str
        Names of the records; the same content is put into each.
    configs : Mapping[str, Any]
        Content of an additional record; none is sent if it is empty.
    serialisation : str
        What the arrays say of how they are encoded.
    is_error : bool
        Whether an error is sent instead.
    is_blank : bool
        Whether neither content nor an error is sent.
    num_copies : int
        How often it is sent.
    """

    client: int
    arrays: Mapping[str, bytes]
    metrics: Mapping[str, Any]
    array_records: tuple[str, ...] = ("arrays",)
    metric_records: tuple[str, ...] = ("metrics",)
    configs: Mapping[str, Any] = field(default_factory=dict)
    serialisation: str = NUMPY
    is_error: bool = False
    is_blank: bool = False
    num_copies: int = 1

    def with_bytes(self, key: str, data: bytes) -> Draft:
        """Replace the bytes of one array."""
        return replace(self, arrays={**self.arrays, key: data})

    def with_array(self, key: str, array: NDArray[Any]) -> Draft:
        """Replace one array."""
        return self.with_bytes(key, encoded(array))

    def with_metrics(self, changes: Mapping[str, Any]) -> Draft:
        """Replace metrics, or add some."""
        return replace(self, metrics={**self.metrics, **changes})


def encoded(array: NDArray[Any]) -> bytes:
    """Encode as Flower does; objects are pickled, which a hostile client can do."""
    stream = BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def decoded(data: bytes) -> NDArray[Any]:
    """Read back what `encoded` gave."""
    array: NDArray[Any] = np.load(BytesIO(data), allow_pickle=False)
    return array
