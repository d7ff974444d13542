"""Malformed replies, and lies about weight: honest training, a poisoned message.

Each function takes the content of an honest reply and gives the content that is sent.
It works on the first ArrayRecord and the first MetricRecord, whatever their names, and
spoils as little as does the harm: one value, one shape, one key.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict

ReplyAttack = Callable[[RecordDict], RecordDict]
Arrays = dict[str, np.ndarray]

WEIGHT = "num-examples"


def one_value(content: RecordDict, *, value: float) -> RecordDict:
    """Replace the first value of the first array."""
    arrays = _read(content)
    name = next(iter(arrays))
    spoilt = arrays[name].copy()
    spoilt.flat[0] = value
    return _with_arrays(content, arrays | {name: spoilt})


def longer_array(content: RecordDict) -> RecordDict:
    """Append one more row to the first array, a copy of its last."""
    arrays = _read(content)
    name = next(iter(arrays))
    longer = np.concatenate([arrays[name], arrays[name][-1:]])
    return _with_arrays(content, arrays | {name: longer})


def single_value(content: RecordDict) -> RecordDict:
    """Send one number, of shape (1,), in place of the first array.

    NumPy broadcasts it, so plain averaging takes it for the whole array, unless it
    comes first and honest arrays do not fit into it.
    """
    arrays = _read(content)
    name = next(iter(arrays))
    return _with_arrays(content, arrays | {name: arrays[name].reshape(-1)[:1]})


def extra_key(content: RecordDict) -> RecordDict:
    """Send the first array a second time, under a name that the model lacks."""
    arrays = _read(content)
    name = next(iter(arrays))
    return _with_arrays(content, arrays | {f"{name}.extra": arrays[name]})


def missing_key(content: RecordDict) -> RecordDict:
    """Leave the last array out."""
    arrays = _read(content)
    arrays.popitem()
    return _with_arrays(content, arrays)


def permuted_keys(content: RecordDict) -> RecordDict:
    """Send the right arrays under the right names, last one first.

    A strategy that goes by name is not fooled, one that goes by position is.
    """
    return _with_arrays(content, dict(reversed(_read(content).items())))


def other_dtype(content: RecordDict) -> RecordDict:
    """Send every floating-point array in double precision, with the same values."""
    doubled = {
        name: array.astype(np.float64) if array.dtype.kind == "f" else array
        for name, array in _read(content).items()
    }
    return _with_arrays(content, doubled)


def no_arrays(content: RecordDict) -> RecordDict:
    """Send metrics alone."""
    arrays_key = next(iter(content.array_records))
    return RecordDict({k: v for k, v in content.items() if k != arrays_key})


def two_records(content: RecordDict) -> RecordDict:
    """Send the arrays a second time, in a record of their own."""
    arrays_key, arrays = next(iter(content.array_records.items()))
    return RecordDict({**content, f"{arrays_key}-again": arrays})


def claim_weight(content: RecordDict, *, weight: float) -> RecordDict:
    """Claim to have trained on this many examples."""
    metrics_key, metrics = next(iter(content.metric_records.items()))
    return RecordDict(
        {**content, metrics_key: MetricRecord({**metrics, WEIGHT: weight})}
    )


REPLY_ATTACKS: dict[str, ReplyAttack] = {
    "malformed-nan": partial(one_value, value=np.nan),
    "malformed-inf": partial(one_value, value=np.inf),
    "malformed-shape": longer_array,
    "malformed-broadcast": single_value,
    "malformed-extra-key": extra_key,
    "malformed-missing-key": missing_key,
    "malformed-permuted": permuted_keys,
    "malformed-dtype": other_dtype,
    "malformed-no-arrays": no_arrays,
    "malformed-two-records": two_records,
    "weight-lie-1e12": partial(claim_weight, weight=10**12),
    "weight-lie-0": partial(claim_weight, weight=0),
    "weight-lie-negative": partial(claim_weight, weight=-79),
    "weight-lie-nan": partial(claim_weight, weight=float("nan")),
}


def _read(content: RecordDict) -> Arrays:
    record = next(iter(content.array_records.values()))
    return {name: array.numpy() for name, array in record.items()}


def _with_arrays(content: RecordDict, arrays: Arrays) -> RecordDict:
    arrays_key = next(iter(content.array_records))
    record = ArrayRecord({name: Array(array) for name, array in arrays.items()})
    return RecordDict({**content, arrays_key: record})
