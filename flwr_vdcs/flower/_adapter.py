"""What the adapters to both APIs share: how a round is examined and ended."""

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import Any, TypeVar

from flwr_vdcs.admission import EncodedArrays, Update, array_not_finite
from flwr_vdcs.errors import RoundOrderError, SecondRunError
from flwr_vdcs.flower.compatibility import MetricKeys
from flwr_vdcs.flower.stand_ins import StandIns
from flwr_vdcs.history import History
from flwr_vdcs.records import Journal
from flwr_vdcs.report import RoundReport, Run
from flwr_vdcs.round import Examination, Examiner, RoundStart

Aggregate = TypeVar("Aggregate")

NOT_FINITE = "vdcs-not-finite"
"""A metric of the rounds whose aggregate was not taken, as it was not finite."""


class Adapter:
    """The part of an adapter that does not know its API.

    Where it only reports, all that it does happens beside the wrapped strategy's own
    work, and what goes wrong there is told and changes nothing.
    """

    _examiner: Examiner
    _history: History
    _journal: Journal
    _equal_weights: bool
    _report_only: bool
    _arrays_key: str | None
    _given_keys: MetricKeys
    _stand_ins: StandIns
    _start: RoundStart | None
    _run: Run
    _is_running: bool = False
    _names: Mapping[str, str] = MappingProxyType({})

    @abstractmethod
    def _save(self) -> None:
        """Write the state, once the round is over."""

    @contextmanager
    def _watching(self, server_round: int) -> Iterator[None]:
        """Let no failure here end a run in which the plugin only reports."""
        try:
            yield
        except Exception as error:
            if not self._report_only:
                raise
            self._journal.notices.note_failure(server_round, error)

    def _begin(
        self,
        server_round: int,
        read: Callable[[], tuple[EncodedArrays, Mapping[str, EncodedArrays]]],
    ) -> None:
        """Note what the clients of a round are sent.

        Parameters
        ----------
        server_round
            The round.
        read
            Gives what the strategy was given, and by client id what it sends.
        """
        self._start = None
        with self._watching(server_round), self._history.turn:
            given, sent = read()
            self._start = self._examiner.start(given, sent, self._history)
            if not self._report_only:
                num_asked, num_banned = self._start.num_asked, len(self._start.banned)
                self._journal.notices.note_prospect(server_round, num_asked, num_banned)

    def _decided(
        self,
        server_round: int,
        read: Callable[[], Iterable[Update] | None],
        failed: Collection[str] = (),
    ) -> Examination | None:
        """Decide on the updates of the round that was configured last, and note it.

        Parameters
        ----------
        server_round
            The round.
        read
            Gives the updates, or None if there is nothing to judge.
        failed
            Ids of clients that answered with an error.

        Returns
        -------
        Examination or None
            None where the wrapped strategy is to get all replies as they came.

        Raises
        ------
        RoundOrderError
            If no round was configured.
        """
        with self._watching(server_round):
            updates = read()
            if updates is not None:
                examined = self._examined(server_round, updates, failed)
                return None if self._report_only else examined
        return None

    def _examined(
        self, server_round: int, updates: Iterable[Update], failed: Collection[str]
    ) -> Examination:
        start = self._start
        if start is None:
            raise RoundOrderError
        if self._report_only:  # all were asked
            updates = [e for e in updates if e.client_id not in start.left_out]
        with self._history.turn:
            examined = self._examiner.examine(
                server_round, start, updates, self._history, failed
            )
        examined = replace(examined, report=self._marked(examined.report))
        self._journal.note_training(examined.report, examined.problem)
        if start.num_asked or start.left_out:
            self._journal.summary.note(examined.report)
        self._journal.notices.note_once(examined.notices)
        return examined

    def _concluded(
        self,
        report: RoundReport,
        aggregate: Aggregate | None,
        encoded: Callable[[Any], EncodedArrays],
    ) -> tuple[Aggregate | None, dict[str, Any]]:
        """End a round that was examined; an aggregate that is not finite is not taken.

        Parameters
        ----------
        report
            What was decided.
        aggregate
            What the wrapped strategy has made of it, if anything.
        encoded
            Takes its arrays out, without decoding them.

        Returns
        -------
        aggregate or None
            What may become the model.
        dict
            The metrics of the round.
        """
        metrics = report.counts()
        if aggregate is not None and self._start is not None:
            lost = array_not_finite(encoded(aggregate), self._start.common)
            if lost:
                self._journal.note_lost_aggregate(lost)
                aggregate, metrics = None, {**metrics, NOT_FINITE: 1}
        self._end(report.server_round, has_model=aggregate is not None)
        return aggregate, metrics

    def _decided_on_claims(
        self, server_round: int, read: Callable[[], Iterable[Update]]
    ) -> RoundReport | None:
        """Decide on answers to an evaluation, as `_decided` does on updates."""
        with self._watching(server_round):
            report = self._examiner.examine_claims(server_round, read())
            self._journal.note_evaluation(self._marked(report))
            return None if self._report_only else report
        return None

    def _not_asked(self, client_ids: Iterable[str]) -> set[str]:
        """Find who is not asked to evaluate either."""
        asked = set(client_ids)
        with self._history.turn:
            return {*self._history.ledger.banned(asked), *self._history.absent(asked)}

    def _marked(self, report: RoundReport) -> RoundReport:
        """Add what the examination does not know: the run, and the nodes' names."""
        named = (
            replace(each, name=self._names.get(each.client_id, ""))
            for each in report.decisions
        )
        return replace(
            report,
            decisions=tuple(named),
            report_only=self._report_only,
            run=self._run,
        )

    @contextmanager
    def _a_run(self) -> Iterator[None]:
        """Count a run's rounds, and say at its end what became of them.

        Raises
        ------
        SecondRunError
            If another run of this object goes on.
        """
        if self._is_running:
            raise SecondRunError
        self._is_running = True
        self._journal.begin_run()
        try:
            yield
        finally:
            self._is_running = False
            self._journal.end_run()

    def _end(self, server_round: int, *, has_model: bool) -> None:
        """Write the state, when the wrapped strategy has aggregated."""
        if has_model:
            self._journal.summary.note_model()
        with self._watching(server_round):
            self._save()
