"""The adapter to Flower's Message API: ``aggregate_train`` on checked replies."""

from collections.abc import Collection, Iterable, Mapping

from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy
from torch import Tensor

from flwr_vdcs.admission.npy import encode
from flwr_vdcs.flower.replies import (
    MetricKeys,
    encoded_arrays,
    set_arrays,
    set_weight,
    update_from_evaluation,
    update_from_message,
)
from flwr_vdcs.records.journal import Journal
from flwr_vdcs.report import RoundReport
from flwr_vdcs.round import Guard


class MessageAdapter(Strategy):
    """Hand the wrapped strategy only those replies that the guard keeps."""

    strategy: Strategy
    _guard: Guard
    _journal: Journal
    _equal_weights: bool
    _metric_keys: MetricKeys

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Note the global model and let the wrapped strategy sample clients."""
        self._guard.start_round(encoded_arrays(arrays))
        messages = list(
            self.strategy.configure_train(server_round, arrays, config, grid)
        )
        banned = self._guard.withhold(map(_destination, messages))
        return _not_to(banned, messages)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Let the wrapped strategy aggregate the replies that agree with each other."""
        replies = list(replies)
        answers = [reply for reply in replies if not reply.has_error()]
        updates = [update_from_message(reply, self._metric_keys) for reply in answers]
        examination = self._guard.examine(server_round, updates)
        report = examination.report
        self._journal.note_training(report, examination.problem)
        if report.is_empty or not replies:
            return None, MetricRecord(report.counts())

        for place, arrays in examination.normalised.items():
            set_arrays(answers[place], _record(arrays))
        kept = _without_refused(replies, report)
        if self._equal_weights:
            for reply in kept:
                if not reply.has_error():
                    set_weight(reply, self._metric_keys, 1)
        aggregate, metrics = self.strategy.aggregate_train(server_round, kept)
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
        return _not_to(self._guard.banned(map(_destination, messages)), messages)

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        """Let the wrapped strategy aggregate the replies that can be aggregated."""
        replies = list(replies)
        answers = [reply for reply in replies if not reply.has_error()]
        updates = [
            update_from_evaluation(reply, self._metric_keys) for reply in answers
        ]
        report = self._guard.examine_claims(server_round, updates)
        self._journal.note_evaluation(report)
        if report.is_empty:
            return None
        kept = _without_refused(replies, report)
        return self.strategy.aggregate_evaluate(server_round, kept)


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


def _record(arrays: Mapping[str, Tensor]) -> ArrayRecord:
    return ArrayRecord({key: Array(encode(array)) for key, array in arrays.items()})
