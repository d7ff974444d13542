"""The adapter to Flower's Message API: ``aggregate_train`` on checked replies."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy

from flwr_vdcs.admission import Candidate, EncodedArrays, Update
from flwr_vdcs.flower._adapter import Adapter
from flwr_vdcs.flower.compatibility import is_flowers_own, metric_keys
from flwr_vdcs.flower.names import names_of
from flwr_vdcs.flower.replies import (
    Expected,
    content_of,
    encoded,
    judged_record,
    read_claims,
    read_update,
    sent_in,
    set_arrays,
    set_weight,
)
from flwr_vdcs.report import Decision

IN_THE_LOOP = (
    "configure_train",
    "aggregate_train",
    "configure_evaluate",
    "aggregate_evaluate",
    "summary",
)
"""What Flower's loop calls, and a loop of the user's own."""

CHECK = "_check_and_log_replies"
"""Flower's own strategies refuse with it what they cannot aggregate."""


class MessageAdapter(Adapter, Strategy):
    """Hand the wrapped strategy only those replies that are kept."""

    strategy: Strategy
    _sent_record: str | None = None
    _sent_last: ArrayRecord | None = None
    _has_aggregated: bool = False

    @wraps(Strategy.start)
    def start(  # type: ignore[override]  # what Flower's takes, in any version
        self, *args: Any, **kwargs: Any
    ) -> Result:
        """Run the wrapped strategy's own loop, with the plugin in it."""
        self._sent_last, self._has_aggregated = None, False
        methods = {name: getattr(self, name) for name in IN_THE_LOOP}
        with self._a_run(), self._stand_ins.on(self.strategy, methods):
            result = self.strategy.start(*args, **kwargs)
            self._check_run(result)
        return result

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Let the wrapped strategy sample clients, and note what they are sent."""
        with self._inner() as inner:
            asked = inner.configure_train(server_round, arrays, config, grid)
            messages = _listed(asked)
        if messages:
            self._sent_last = arrays
            asked_ids = {_destination(message) for message in messages}
            self._names = names_of(asked_ids, grid, self._names)
        self._begin(server_round, lambda: self._sent(arrays, messages or []))
        if self._report_only or not messages or self._start is None:
            return messages
        return _not_to(self._start.left_out, messages)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Let the wrapped strategy aggregate the replies that agree with each other.

        Raises
        ------
        RoundOrderError
            If no round was configured before.
        """
        self._has_aggregated = True
        replies = _listed(replies)
        examined = self._decided(
            server_round,
            lambda: self._updates(server_round, _answers(replies)),
            [str(r.metadata.src_node_id) for r in replies or () if r.has_error()],
        )
        if examined is None:
            with self._inner() as inner:
                outcome = inner.aggregate_train(server_round, replies)
            self._end(server_round, has_model=outcome[0] is not None)
            return outcome
        aggregate, metrics = None, None
        if replies and not examined.report.is_empty:
            self._prepare(_answers(replies), examined.candidates)
            kept = _without_refused(replies, examined.report.decisions)
            with self._inner() as inner:
                aggregate, metrics = inner.aggregate_train(server_round, kept)
        aggregate, counts = self._concluded(examined.report, aggregate, encoded)
        return aggregate, MetricRecord({**(metrics or {}), **counts})

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Let the wrapped strategy configure the evaluation."""
        with self._inner() as inner:
            asked = inner.configure_evaluate(server_round, arrays, config, grid)
            messages = _listed(asked)
        if self._report_only or not messages:
            return messages
        return _not_to(self._not_asked(map(_destination, messages)), messages)

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        """Let the wrapped strategy aggregate the replies that can be aggregated."""
        replies = _listed(replies)
        report = self._decided_on_claims(
            server_round, lambda: self._claims(_answers(replies))
        )
        if report is not None:
            if report.is_empty:
                return None
            replies = _without_refused(replies, report.decisions)
        with self._inner() as inner:
            return inner.aggregate_evaluate(server_round, replies)

    @contextmanager
    def _inner(self) -> Iterator[Strategy]:
        """Give the wrapped strategy as it is by itself, in its loop too."""
        with self._stand_ins.off():
            yield self.strategy

    def _sent(
        self, arrays: ArrayRecord, messages: Iterable[Message]
    ) -> tuple[EncodedArrays, dict[str, EncodedArrays]]:
        """Find what each client is sent, and in a record of which name."""
        given = encoded(arrays)
        found = {_destination(m): sent_in(m, given, self._arrays_key) for m in messages}
        names = (name for name, _ in found.values() if name is not None)
        self._sent_record = next(names, None)
        return given, {client: sent for client, (_, sent) in found.items()}

    def _updates(
        self, server_round: int, answers: Sequence[Message]
    ) -> list[Update] | None:
        """Read a round's replies; None if none has arrays and none may be wanted."""
        expected = self._expected("aggregate_train")
        bare = not any(content_of(reply).array_records for reply in answers)
        if answers and bare and not expected.is_strict:
            self._journal.notices.note_statistics(server_round)
            return None
        return [read_update(reply, expected) for reply in answers]

    def _claims(self, answers: Sequence[Message]) -> list[Update]:
        expected = self._expected("aggregate_evaluate")
        return [read_claims(reply, expected) for reply in answers]

    def _expected(self, method: str) -> Expected:
        """Say how replies are to be read, for what will aggregate them."""
        with self._inner() as inner:
            return Expected(
                record=self._arrays_key or self._sent_record,
                keys=self._start.common.keys if self._start else (),
                metric_keys=metric_keys(inner, self._given_keys),
                is_strict=is_flowers_own(inner, method, CHECK),
            )

    def _prepare(
        self, answers: Sequence[Message], candidates: Sequence[Candidate]
    ) -> None:
        """Change in kept replies what the wrapped strategy must get otherwise."""
        expected = self._expected("aggregate_train")
        for reply, candidate in zip(answers, candidates, strict=True):
            if candidate.verdict != "kept":
                continue
            name = judged_record(reply.content, expected)
            if candidate.is_changed and name is not None:
                set_arrays(reply.content, name, candidate)
            if self._equal_weights:
                set_weight(reply.content, expected.metric_keys, 1)

    def _check_run(self, result: object) -> None:
        """Tell of a run that was not checked, or that has trained nothing."""
        is_overridden = type(self.strategy).start is not Strategy.start
        if is_overridden and not self._has_aggregated:
            self._journal.notices.note_bypass()
        model, self._sent_last = self._sent_last, None
        if self._report_only or model is None or not isinstance(result, Result):
            return
        if not result.arrays:
            result.arrays = model


def _listed(messages: Iterable[Message]) -> Sequence[Message]:
    """Let messages be looked at more than once; a strategy may give None."""
    if messages is None or isinstance(messages, Sequence):
        return messages
    return list(messages)


def _answers(replies: Iterable[Message]) -> list[Message]:
    return [reply for reply in replies if not reply.has_error()]


def _destination(message: Message) -> str:
    return str(message.metadata.dst_node_id)


def _not_to(client_ids: Collection[str], messages: Iterable[Message]) -> list[Message]:
    return [m for m in messages if _destination(m) not in client_ids]


def _without_refused(
    replies: Iterable[Message], decisions: Iterable[Decision]
) -> list[Message]:
    """Leave out what was refused; errors go on, as the wrapped strategy counts them."""
    decided = iter(decisions)
    return [
        reply
        for reply in replies
        if reply.has_error() or next(decided).verdict == "kept"
    ]
