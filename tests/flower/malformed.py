"""Ways in which a client's answer is unlike what was asked for, in both APIs."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from flwr.app import Array, ArrayRecord, Error, MetricRecord, RecordDict
from flwr.common import FitRes, ndarrays_to_parameters, parameters_to_ndarrays

from tests.federation import Arrays, content, record_of


def reshaped(arrays: Arrays) -> Arrays:
    """Give the last array another shape."""
    *_, last = arrays
    return {**arrays, last: np.zeros((*np.shape(arrays[last]), 2), np.float32)}


def not_finite(arrays: Arrays) -> Arrays:
    """Let one array be NaN."""
    first = next(iter(arrays))
    return {**arrays, first: arrays[first] * np.float32(np.nan)}


def cast(dtype: type, scale: float = 1.0) -> Callable[[Arrays], Arrays]:
    """Make something of another dtype."""
    return lambda arrays: {k: (v * scale).astype(dtype) for k, v in arrays.items()}


def permuted(arrays: Arrays) -> Arrays:
    """Turn the order round."""
    return dict(reversed(arrays.items()))


def lacking(arrays: Arrays) -> Arrays:
    """Leave the last array out."""
    return dict([*arrays.items()][:-1])


ARRAYS: dict[str, Callable[[Arrays], Arrays]] = {
    "wrong shape": reshaped,
    "NaN": not_finite,
    "float16": cast(np.float16),
    "int8": cast(np.int8, 100),
    "permuted": permuted,
    "missing array": lacking,
    "no arrays": lambda _: {},
}
"""Other arrays than those of the model."""

METRICS: dict[str, dict[str, object]] = {
    "zero examples": {"num-examples": 0, "train_loss": 1.0},
    "negative examples": {"num-examples": -60, "train_loss": 1.0},
    "missing metric": {"num-examples": 10},
    "missing weight": {"train_loss": 1.0},
    "more metrics": {"num-examples": 10, "train_loss": 1.0, "own": 2.0},
    "list for a weight": {"num-examples": [1, 2], "train_loss": 1.0},
    "loss of NaN": {"num-examples": 10, "train_loss": float("nan")},
}
"""Other metrics than most clients have."""


def _without(body: RecordDict, name: str) -> RecordDict:
    return RecordDict({k: v for k, v in body.items() if k != name})


def _undecodable(body: RecordDict) -> RecordDict:
    arrays = {
        key: Array(array.dtype, array.shape, "pickle", b"nonsense")
        for key, array in body["arrays"].items()
    }
    return RecordDict({**body, "arrays": ArrayRecord(arrays)})


def _relabelled(body: RecordDict) -> RecordDict:
    return RecordDict({"weights": body["arrays"], "metrics": body["metrics"]})


RECORDS: dict[str, Callable[[RecordDict], RecordDict | Error]] = {
    "no content": lambda _: RecordDict(),
    "no array record": lambda body: _without(body, "arrays"),
    "no metric record": lambda body: _without(body, "metrics"),
    "two array records": lambda body: RecordDict({**body, "own": body["arrays"]}),
    "two metric records": lambda body: RecordDict(
        {**body, "own": MetricRecord({"s": 1.0})}
    ),
    "another name": _relabelled,
    "other serialisation": _undecodable,
    "error": lambda _: Error(0, "out of memory"),
}
"""Other records than those that were asked for."""

MESSAGE_KINDS = ("honest", *ARRAYS, *METRICS, *RECORDS)
LEGACY_KINDS = ("honest", *ARRAYS, "zero examples", "negative examples", "own metrics")


def malformed(kind: str, body: RecordDict) -> RecordDict | Error:
    """Make an honest content malformed."""
    if kind in ARRAYS:
        arrays = {key: array.numpy() for key, array in body["arrays"].items()}
        return RecordDict({**body, "arrays": record_of(ARRAYS[kind](arrays))})
    if kind in METRICS:
        return RecordDict({**body, "metrics": content(None, METRICS[kind])["metrics"]})
    return RECORDS[kind](body) if kind in RECORDS else body


def malformed_result(kind: str, result: FitRes, client: int) -> FitRes:
    """Make an honest legacy result malformed."""
    if kind in ARRAYS:
        named = dict(enumerate(parameters_to_ndarrays(result.parameters)))
        values = [np.asarray(each) for each in ARRAYS[kind](named).values()]
        return replace(result, parameters=ndarrays_to_parameters(values))
    if kind == "own metrics":
        return replace(result, metrics={f"loss of {client}": 0.5})
    if kind in METRICS:
        return replace(result, num_examples=METRICS[kind]["num-examples"])
    return result
