"""What the adapters to both APIs share: how a round is examined and ended."""

from abc import abstractmethod
from collections.abc import Iterable

from flwr_vdcs.admission import Update
from flwr_vdcs.errors import RoundOrderError
from flwr_vdcs.flower.compatibility import MetricKeys
from flwr_vdcs.history import History
from flwr_vdcs.records import Journal
from flwr_vdcs.round import Examination, Examiner, RoundStart


class Adapter:
    """The part of an adapter that does not know its API."""

    _examiner: Examiner
    _history: History
    _journal: Journal
    _equal_weights: bool
    _metric_keys: MetricKeys
    _start: RoundStart | None

    @abstractmethod
    def _save(self) -> None:
        """Write the state, once the round is over."""

    def _examined(self, server_round: int, updates: Iterable[Update]) -> Examination:
        """Decide on the updates of the round that was configured last, and note it.

        Raises
        ------
        RoundOrderError
            If none was.
        """
        if self._start is None:
            raise RoundOrderError
        examined = self._examiner.examine(
            server_round, self._start, updates, self._history
        )
        self._journal.note_training(examined.report, examined.problem)
        self._journal.note_once(examined.notices)
        return examined
