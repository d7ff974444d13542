"""Replies that are malformed or lie, and the round that they come in."""

from dataclasses import dataclass
from typing import Any

import flwr.serverapp.strategy as message
import numpy as np
from flwr.app import (
    Array,
    ArrayRecord,
    MetricRecord,
    RecordDict,
)

from flwr_vdcs import VirtualConsistencyStrategy
from tests.federation import (
    Arrays,
    arrays_of,
    configured,
    content,
    honest_update,
    record_of,
    reply,
    seeded,
)
from tests.models import batch_norm_cnn

NET = seeded(batch_norm_cnn)


START = arrays_of(NET)


HONEST = [honest_update(START, client) for client in range(6)]


FAR = {k: (v + 100).astype(v.dtype) for k, v in HONEST[0].items()}


VALUES = list(HONEST[0].values())


KEYS = list(HONEST[0])


RAISES, POISONED, IGNORED = "raises", "poisoned", "ignored"


def with_value(key: str, value: float) -> Arrays:
    """Put one value into one array."""
    arrays = {k: v.copy() for k, v in HONEST[0].items()}
    arrays[key].flat[0] = value
    return arrays


def with_array(key: str, array: np.ndarray) -> Arrays:
    """Replace one array."""
    return {**HONEST[0], key: array}


def without(key: str) -> Arrays:
    """Leave out one array."""
    return {k: v for k, v in HONEST[0].items() if k != key}


def metrics(**changes: Any) -> dict[str, Any]:
    """Change the honest metrics."""
    return {"num-examples": 10, "train_loss": 1.0} | {
        key.replace("_examples", "-examples"): value for key, value in changes.items()
    }


@dataclass(frozen=True)
class Lie:
    """A malformed reply, what FedAvg alone makes of it, and our reason."""

    content: RecordDict
    alone: str
    reason: str


def undecodable(data: bytes, stype: str = "numpy.ndarray") -> RecordDict:
    """Put bytes that are no array into an array record."""
    record = record_of(HONEST[0])
    record["0.weight"] = Array(
        dtype="float32", shape=(4, 1, 3, 3), stype=stype, data=data
    )
    return RecordDict({"arrays": record, "metrics": MetricRecord(metrics())})


def honest_replies(first: int = 1) -> list:
    """Reply honestly from five nodes."""
    return [reply(n, content(HONEST[n])) for n in range(first, 6)]


def aggregate(strategy: Any, replies: list) -> ArrayRecord | None:
    """Aggregate one round."""
    return configured(strategy, START).aggregate_train(1, replies)[0]


def wrapped(num_malicious: float = 0) -> Any:
    """Put the plugin around FedAvg."""
    return VirtualConsistencyStrategy(
        message.FedAvg(),
        model=NET,
        input_shape=(1, 6, 6),
        num_malicious=num_malicious,
        scoring="paper",
        num_virtual_samples=4,
        seed=1,
    )


def liar(lie: Lie, node: int = 9) -> Any:
    """Reply with a lie."""
    body = RecordDict(dict(lie.content.items()))
    return reply(node, body)
