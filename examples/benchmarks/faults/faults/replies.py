"""Drafts to replies: Flower's own messages and results, whatever is in them."""

from __future__ import annotations

import time
from typing import Any

from flwr.app import (
    Array,
    ArrayRecord,
    ConfigRecord,
    Error,
    Message,
    Metadata,
    MetricRecord,
    RecordDict,
)
from flwr.common import Code, EvaluateRes, FitRes, Parameters, Status
from flwr.server.client_proxy import ClientProxy

from faults.draft import WEIGHT, Draft

OK = Status(Code.OK, "")
FAILED = Status(Code.FIT_NOT_IMPLEMENTED, "crashed")
LOSS = "train_loss"
TENSOR_TYPE = "numpy.ndarray"


def message_from(draft: Draft, message_type: str) -> Message:
    """Make the reply to a message, or an error."""
    metadata = Metadata(
        run_id=1,
        message_id="",
        src_node_id=draft.client,
        dst_node_id=0,
        reply_to_message_id="",
        group_id="",
        created_at=time.time(),
        ttl=3600.0,
        message_type=message_type,
    )
    if draft.is_error:
        return Message(Error(0, "crashed"), metadata=metadata)
    message = Message(content_of(draft), metadata=metadata)
    if draft.is_blank:
        message.__dict__["_content"] = None
    return message


def answered(draft: Draft, message: Message) -> list[Message]:
    """Reply to a message, as often as the draft says."""
    if draft.is_error:
        return [Message(Error(0, "crashed"), reply_to=message)]
    return [
        Message(content_of(draft), reply_to=message) for _ in range(draft.num_copies)
    ]


def content_of(draft: Draft) -> RecordDict:
    """Pack arrays, metrics and configs into records."""
    arrays = {
        key: Array("float32", (1,), draft.serialisation, data)
        for key, data in draft.arrays.items()
    }
    content = RecordDict()
    for name in draft.array_records:
        content[name] = ArrayRecord(arrays)
    for name in draft.metric_records:
        content[name] = MetricRecord(dict(draft.metrics))
    if draft.configs:
        content["configs"] = ConfigRecord(dict(draft.configs))
    return content


def fit_result(draft: Draft) -> FitRes:
    """Make a legacy result of training."""
    weight, metrics = _claims(draft)
    parameters = Parameters(list(draft.arrays.values()), TENSOR_TYPE)
    return FitRes(OK, parameters, weight, metrics)


def failure(draft: Draft) -> tuple[ClientProxy, FitRes] | BaseException:
    """Make what Flower makes of an error: it knows of some whose they are."""
    if draft.client % 2:
        return RuntimeError("crashed")
    return Proxy(draft.client), FitRes(FAILED, Parameters([], ""), 0, {})


def evaluate_result(draft: Draft) -> EvaluateRes:
    """Make a legacy result of evaluation."""
    weight, metrics = _claims(draft)
    return EvaluateRes(OK, metrics.pop(LOSS, 0.0), weight, metrics)


def _claims(draft: Draft) -> tuple[Any, dict[str, Any]]:
    metrics = dict(draft.metrics)
    return metrics.pop(WEIGHT, None), metrics


class Proxy(ClientProxy):
    """What a legacy strategy knows of a client: nothing but its id."""

    def __init__(self, client: int) -> None:
        super().__init__(str(client))

    def fit(self, *_: Any, **__: Any) -> Any:
        """Be unused: results are made elsewhere."""
        raise NotImplementedError

    evaluate = get_properties = get_parameters = reconnect = fit
