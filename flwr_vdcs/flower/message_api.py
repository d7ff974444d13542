"""The adapter to Flower's Message API: ``aggregate_train`` on checked replies."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from flwr.app import (
    Array,
    ArrayRecord,
    ConfigRecord,
    Message,
    MetricRecord,
    RecordDict,
)
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from flwr_vdcs.admission import Candidate, EncodedArrays, Update, forwarded_arrays
from flwr_vdcs.errors import quoted
from flwr_vdcs.flower._adapter import Adapter
from flwr_vdcs.flower.compatibility import MetricKeys
from flwr_vdcs.report import RoundReport

WEIGHT_KEY = "num-examples"
SERIALISATION = "numpy.ndarray"

MAX_LOSS = 1e6
"""Powers of it stay finite where a strategy weighs clients by their loss."""


class MessageAdapter(Adapter, Strategy):
    """Hand the wrapped strategy only those replies that are kept."""

    strategy: Strategy

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Let the wrapped strategy sample clients, and note what they are sent."""
        messages = list(
            self.strategy.configure_train(server_round, arrays, config, grid)
        )
        given = _encoded(arrays)
        sent = {_destination(m): _sent(m, given) for m in messages}
        self._start = self._examiner.start(given, sent, self._history)
        return _not_to(self._start.banned, messages)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Let the wrapped strategy aggregate the replies that agree with each other.

        Raises
        ------
        RoundOrderError
            If no round was configured before.
        """
        replies = list(replies)
        answers = [reply for reply in replies if not reply.has_error()]
        updates = [_update(reply, self._metric_keys) for reply in answers]
        examined = self._examined(server_round, updates)
        report = examined.report
        aggregate, metrics = None, None
        if replies and not report.is_empty:
            for reply, candidate in zip(answers, examined.candidates, strict=True):
                self._prepare(reply, candidate)
            kept = _without_refused(replies, report)
            aggregate, metrics = self.strategy.aggregate_train(server_round, kept)
        self._save()
        metrics = MetricRecord() if metrics is None else metrics
        metrics.update(report.counts())
        return aggregate, metrics

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Let the wrapped strategy configure the evaluation."""
        messages = list(
            self.strategy.configure_evaluate(server_round, arrays, config, grid)
        )
        banned = self._history.ledger.banned(map(_destination, messages))
        return _not_to(banned, messages)

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        """Let the wrapped strategy aggregate the replies that can be aggregated."""
        replies = list(replies)
        answers = [reply for reply in replies if not reply.has_error()]
        claims = [_claims(reply, self._metric_keys) for reply in answers]
        report = self._examiner.examine_claims(server_round, claims)
        self._journal.note_evaluation(report)
        if report.is_empty:
            return None
        kept = _without_refused(replies, report)
        return self.strategy.aggregate_evaluate(server_round, kept)

    def _prepare(self, reply: Message, candidate: Candidate) -> None:
        """Change in a kept reply what the wrapped strategy must get otherwise."""
        if candidate.verdict != "kept":
            return
        if candidate.is_changed:
            _set_arrays(reply, candidate)
        if self._equal_weights:
            _set_weight(reply, self._metric_keys, 1)


class _DefectiveReplyError(Exception):
    """A reply without the one record that was asked for."""


def _update(reply: Message, keys: MetricKeys) -> Update:
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
    records = frozenset({f"MetricRecord {metrics_key}", f"record {arrays_key}"})
    return Update(client_id, _encoded(arrays), weight, metrics, records)


def _claims(reply: Message, keys: MetricKeys) -> Update:
    """Read a reply to an evaluate message, which carries metrics only."""
    client_id = str(reply.metadata.src_node_id)
    try:
        metrics_key, metrics = _only(reply.content.metric_records, "MetricRecord")
        weight = _claimed_weight(metrics, keys.weight)
    except _DefectiveReplyError as error:
        return Update(client_id, defect=str(error))
    records = frozenset({f"MetricRecord {metrics_key}"})
    return Update(client_id, {}, weight, metrics, records)


def _encoded(record: ArrayRecord) -> EncodedArrays:
    """Take the bytes out of an ArrayRecord, without decoding them."""
    return {key: array.data for key, array in record.items()}


def _sent(message: Message, given: EncodedArrays) -> EncodedArrays:
    """Find the model in a message: of several records the one with its keys."""
    records = [_encoded(each) for each in message.content.array_records.values()]
    alike = [record for record in records if record.keys() == given.keys()]
    return (alike or records or [given])[0]


def _only(records: Mapping[str, Any], kind: str) -> tuple[str, Any]:
    if len(records) != 1:
        raise _DefectiveReplyError(f"expected exactly one {kind}, found {len(records)}")
    return next(iter(records.items()))


def _claimed_weight(metrics: MetricRecord, weight_key: str | None) -> object:
    key = weight_key or WEIGHT_KEY
    if key not in metrics and weight_key is not None:
        raise _DefectiveReplyError(f"expected the metric {key!r}, found none")
    return metrics.get(key)


def _check_loss(metrics: MetricRecord, loss_key: str | None) -> None:
    loss = metrics.get(loss_key, 0.0) if loss_key else 0.0
    if isinstance(loss, list) or not 0 <= loss <= MAX_LOSS:
        raise _DefectiveReplyError(
            f"{loss_key}: expected a number from 0 to {MAX_LOSS:g}, "
            f"found {quoted(loss)}"
        )


def _check_encoding(arrays: ArrayRecord) -> None:
    """Refuse what says of itself that it is not NumPy's, as Flower will not read it."""
    for key, array in arrays.items():
        if array.stype != SERIALISATION:
            raise _DefectiveReplyError(
                f"{quoted(key)}: expected serialisation {SERIALISATION!r}, "
                f"found {quoted(array.stype)}"
            )


def _set_arrays(reply: Message, candidate: Candidate) -> None:
    """Replace the arrays of a reply, under the name they came by."""
    forwarded = forwarded_arrays(candidate)
    arrays = ArrayRecord({key: Array(array) for key, array in forwarded.items()})
    content: RecordDict = reply.content
    content[next(iter(content.array_records))] = arrays


def _set_weight(reply: Message, keys: MetricKeys, weight: int) -> None:
    """Replace the weight that a reply claims, leaving its other metrics alone."""
    content: RecordDict = reply.content
    name, metrics = next(iter(content.metric_records.items()))
    key = keys.weight or WEIGHT_KEY
    if key in metrics:
        content[name] = MetricRecord({**metrics, key: weight})


def _destination(message: Message) -> str:
    return str(message.metadata.dst_node_id)


def _not_to(client_ids: Collection[str], messages: list[Message]) -> list[Message]:
    return [m for m in messages if _destination(m) not in client_ids]


def _without_refused(replies: list[Message], report: RoundReport) -> list[Message]:
    """Leave out what was refused; errors go on, as the wrapped strategy counts them."""
    decisions = iter(report.decisions)
    return [
        reply
        for reply in replies
        if reply.has_error() or next(decisions).verdict == "kept"
    ]
