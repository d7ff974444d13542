"""Replies to updates: what a client claims and sends, not yet trusted."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.common import EvaluateRes, FitRes, Parameters

from flwr_vdcs.admission.global_state import EncodedArrays
from flwr_vdcs.errors import MAX_QUOTED, quoted

WEIGHT_KEY = "num-examples"
SERIALISATION = "numpy.ndarray"

MAX_BITS = 64
MAX_LOSS = 1e6
"""Powers of it stay finite where a strategy weighs clients by their loss."""


@dataclass(frozen=True)
class MetricKeys:
    """Metrics that decide how much a client's arrays count.

    Attributes
    ----------
    weight
        The number of examples, or None where no strategy names it.
    loss
        The training loss, where a strategy weighs clients by it (q-FedAvg).
    """

    weight: str | None = None
    loss: str | None = None


@dataclass(frozen=True)
class Update:
    """What one client sent, independent of the API it came through.

    Attributes
    ----------
    client_id
        Flower's node id, or the client proxy's id.
    arrays
        The encoded arrays; empty for an evaluation.
    num_examples
        The weight the client claims, or None where its strategy asks for none.
    layout
        Everything that is aggregated besides the arrays' values: records by name,
        metrics by name and kind. Clients can only be aggregated together where it is
        the same.
    defect
        Why the reply cannot be read at all; empty if it can.
    """

    client_id: str
    arrays: EncodedArrays = field(default_factory=dict, repr=False)
    num_examples: object = None
    layout: frozenset[str] = frozenset()
    defect: str = ""


class _DefectiveReplyError(Exception):
    """A reply without the one record that was asked for."""


def update_from_message(reply: Message, keys: MetricKeys) -> Update:
    """Read a reply to a train message."""
    client_id = str(reply.metadata.src_node_id)
    try:
        arrays_key, arrays = _only(reply.content.array_records, "ArrayRecord")
        metrics_key, metrics = _only(reply.content.metric_records, "MetricRecord")
        weight = _claimed_weight(metrics, keys.weight)
        _check_loss(metrics, keys.loss)
        _check_encoding(arrays)
    except _DefectiveReplyError as error:
        return Update(client_id, defect=str(error))
    layout = _layout(metrics, metrics_key, arrays_key)
    return Update(client_id, encoded_arrays(arrays), weight, layout)


def update_from_evaluation(reply: Message, keys: MetricKeys) -> Update:
    """Read a reply to an evaluate message, which carries metrics only."""
    client_id = str(reply.metadata.src_node_id)
    try:
        metrics_key, metrics = _only(reply.content.metric_records, "MetricRecord")
        weight = _claimed_weight(metrics, keys.weight)
    except _DefectiveReplyError as error:
        return Update(client_id, defect=str(error))
    return Update(client_id, {}, weight, _layout(metrics, metrics_key))


def update_from_result(client_id: str, result: FitRes) -> Update:
    """Read a result of a legacy fit."""
    arrays = encoded_parameters(result.parameters)
    defect = "" if arrays else "expected the model's arrays, found none"
    return _legacy_update(client_id, result, arrays, defect)


def update_from_legacy_evaluation(client_id: str, result: EvaluateRes) -> Update:
    """Read a result of a legacy evaluation."""
    loss = _beginning(result.loss)
    defect = f"loss: expected a number, found {quoted(loss)}" if _kind(loss) else ""
    return _legacy_update(client_id, result, {}, defect)


def encoded_arrays(record: ArrayRecord) -> EncodedArrays:
    """Take the bytes out of an ArrayRecord, without decoding them."""
    return {key: array.data for key, array in record.items()}


def encoded_parameters(parameters: Parameters) -> EncodedArrays:
    """Take the bytes out of legacy parameters, keyed by position."""
    return {str(place): data for place, data in enumerate(parameters.tensors)}


def _only(records: Mapping[str, Any], kind: str) -> tuple[str, Any]:
    if len(records) != 1:
        raise _DefectiveReplyError(f"expected exactly one {kind}, found {len(records)}")
    return next(iter(records.items()))


def _legacy_update(
    client_id: str, result: FitRes | EvaluateRes, arrays: EncodedArrays, defect: str
) -> Update:
    """Ask for a weight too, as every legacy strategy does."""
    weight = _beginning(result.num_examples)
    if weight is None:
        defect = defect or "num-examples: expected a positive number, found None"
    return Update(client_id, arrays, weight, _layout(result.metrics or {}), defect)


def _claimed_weight(metrics: MetricRecord, weight_key: str | None) -> object:
    key = weight_key or WEIGHT_KEY
    if key not in metrics and weight_key is not None:
        raise _DefectiveReplyError(f"expected the metric {key!r}, found none")
    return _beginning(metrics.get(key))


def _check_loss(metrics: MetricRecord, loss_key: str | None) -> None:
    loss = metrics.get(loss_key, 0.0) if loss_key else 0.0
    if isinstance(loss, list) or not 0 <= loss <= MAX_LOSS:
        raise _DefectiveReplyError(
            f"{loss_key}: expected a number from 0 to {MAX_LOSS:g}, "
            f"found {quoted(_beginning(loss))}"
        )


def _check_encoding(arrays: ArrayRecord) -> None:
    """Refuse what says of itself that it is not NumPy's, as Flower will not read it."""
    for key, array in arrays.items():
        if array.stype != SERIALISATION:
            raise _DefectiveReplyError(
                f"{quoted(key)}: expected serialisation {SERIALISATION!r}, "
                f"found {quoted(array.stype)}"
            )


def _layout(
    metrics: Mapping[str, Any], metrics_key: str = "", arrays_key: str = ""
) -> frozenset[str]:
    """Tell records apart by kind, as strategies look for the first reply's by name."""
    records = {f"MetricRecord {metrics_key}", f"record {arrays_key}"}
    return frozenset(records | {_described(k, v) for k, v in metrics.items()})


def _described(name: str, value: object) -> str:
    """Name a metric and its kind, so that no name can pass for another's kind."""
    kind = _kind(value) or (" (number)" if name.endswith(")") else "")
    return f"metric {name}{kind}"


def _kind(value: object) -> str:
    """Tell apart what cannot be averaged together: numbers, lists by length, others."""
    if isinstance(value, list):
        is_whole = bool(value) and set(map(type, value)) <= {int, bool}
        largest = _kind(max(value, key=abs)) if is_whole else ""
        return f" (list of {len(value)}{largest})"
    if isinstance(value, bool) or not isinstance(value, Real):
        return f" ({type(value).__name__})"
    is_huge = isinstance(value, int) and value.bit_length() > MAX_BITS
    return " (beyond 64 bits)" if is_huge else ""


def _beginning(value: object) -> object:
    """Cut off what of a long list would not be quoted."""
    return value[:MAX_QUOTED] if isinstance(value, list) else value


def set_arrays(reply: Message, arrays: ArrayRecord) -> None:
    """Replace the arrays of a reply, under the name they came by."""
    content: RecordDict = reply.content
    content[next(iter(content.array_records))] = arrays


def set_weight(reply: Message, keys: MetricKeys, weight: int) -> None:
    """Replace the weight that a reply claims, leaving its other metrics alone."""
    content: RecordDict = reply.content
    name, metrics = next(iter(content.metric_records.items()))
    key = keys.weight or WEIGHT_KEY
    if key in metrics:
        content[name] = MetricRecord({**metrics, key: weight})
