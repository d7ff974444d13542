"""Rounds to notices: what whoever runs the server should know, and mostly once."""

import logging
from collections.abc import Sequence

from flwr_vdcs.decision import MIN_UPDATES, NumMalicious
from flwr_vdcs.errors import (
    ArraysMismatchError,
    RoundOrderError,
    VirtualConsistencyError,
)
from flwr_vdcs.report import SKIPPED, TOO_FEW, RoundReport

logger = logging.getLogger("flwr")
"""Flower's own logger, so that a round's lines stand together."""


class Notices:
    """Log what is unusual about rounds and runs.

    Parameters
    ----------
    num_malicious
        M, as the user gave it.
    needs_sensitivity
        Whether the scoring depends on the virtual samples' reaching the features.
    """

    def __init__(
        self, num_malicious: NumMalicious = 0, *, needs_sensitivity: bool = True
    ) -> None:
        self._num_malicious = num_malicious
        self._share_to_drop = num_malicious if isinstance(num_malicious, float) else 0
        self._told: set[object] = set() if needs_sensitivity else {"insensitivity"}

    def note_round(self, report: RoundReport, problem: Exception | None = None) -> None:
        """Say what is unusual about a training round."""
        if report.skipped:
            self._note_skip(report)
        if report.is_tied:
            logger.warning(
                "Round %d: dropped and kept clients have equal scores, so the choice "
                "between them is arbitrary. Are they copies, or do some layers not "
                "train?",
                report.server_round,
            )
        self._note_likeness(report)
        self._note_scoring(report)
        self._note_idleness(report)
        self._note_insensitivity(report)
        if problem is not None and not report.skipped:
            self._note_silence(report, problem)

    def note_prospect(self, server_round: int, num_asked: int, num_banned: int) -> None:
        """Say once that so few are asked that a round with M to drop is skipped."""
        if not isinstance(self._num_malicious, int):
            return
        num_to_drop = self._num_malicious - num_banned
        least = _least(num_to_drop)
        is_hopeless = num_to_drop > 0 and 0 < num_asked < least
        if is_hopeless and self._is_new("prospect"):
            logger.error(
                "Round %d: %d clients are asked, and to drop %d of them at least %d "
                "must answer. Such rounds are skipped, and nothing is trained: sample "
                "more clients, or lower `num_malicious`.",
                server_round,
                num_asked,
                num_to_drop,
                least,
            )
        elif 2 * num_to_drop >= num_asked > 0 and self._is_new("half"):
            logger.warning(
                "Round %d: num_malicious=%d of %d clients is half or more. Whoever has "
                "the majority passes for honest, in any method, so honest clients may "
                "be dropped.",
                server_round,
                self._num_malicious,
                num_asked + num_banned,
            )

    def note_once(self, notices: Sequence[str]) -> None:
        """Say what is said of the set-up and not of a round, each of it once."""
        for notice in filter(self._is_new, notices):
            logger.warning(notice)

    @staticmethod
    def note_shortage(report: RoundReport, quorum: int) -> None:
        """Say that the wrapped strategy cannot work with what is left."""
        logger.warning(
            "Round %d: the model is kept, as the wrapped strategy needs %d updates and "
            "%d are left.",
            report.server_round,
            quorum,
            report.num_kept,
        )

    def note_blindness(self) -> None:
        """Say once that secure aggregation leaves nothing to look at."""
        if self._is_new("blindness"):
            logger.warning(
                "Secure aggregation hides the single updates: no client is scored, and "
                "poisoned ones cannot be found."
            )

    @staticmethod
    def note_statistics(server_round: int) -> None:
        """Say that a round has nothing to judge."""
        logger.info(
            "Round %d: no reply carries arrays, so all of them go on unjudged.",
            server_round,
        )

    def note_failure(self, server_round: int, error: Exception) -> None:
        """Say why a round cannot be judged, where it is only reported on; once each."""
        kind = type(error)
        follows = kind is RoundOrderError and ArraysMismatchError in self._told
        if follows or not self._is_new(kind):
            return
        is_known = isinstance(error, VirtualConsistencyError)
        logger.warning(
            "Round %d cannot be judged, and goes on as report_only=True: %s: %s",
            server_round,
            kind.__name__,
            error,
            exc_info=None if is_known else error,
        )

    @staticmethod
    def note_bypass() -> None:
        """Say that a loop of the user's own goes past the plugin."""
        logger.warning(
            "The wrapped strategy's start never called aggregate_train, so no update "
            "was checked."
        )

    @staticmethod
    def _note_skip(report: RoundReport) -> None:
        """Say why no update goes on, and what to do."""
        if report.report_only:
            logger.warning(
                "Round %d would be skipped: %s.",
                report.server_round,
                report.why_skipped.removeprefix(SKIPPED),
            )
        elif report.is_out_of_memory:
            logger.warning(
                "Round %d is skipped and the model kept: the server ran out of memory. "
                "Lower `num_virtual_samples`, or choose another `device`.",
                report.server_round,
            )
        elif report.why_skipped == TOO_FEW:
            logger.warning(
                "Round %d is skipped and the model kept: %d updates are too few to "
                "compare%s, at least %d are needed. Sample more clients%s.",
                report.server_round,
                report.num_dropped,
                *_shortage(report.num_malicious),
            )
        else:
            logger.warning(
                "Round %d is skipped and the model kept: %s. Wait for more clients, or "
                "lower `quorum`.",
                report.server_round,
                report.why_skipped.removeprefix(SKIPPED),
            )

    def _note_likeness(self, report: RoundReport) -> None:
        """Say once that the scores tell no client from another."""
        if report.scores_alike and self._is_new("likeness"):
            logger.warning(
                "Round %d: all clients have the same score, so nobody is dropped and "
                'attacks can pass. Use scoring="hardened", name another `head`, or let '
                "a layer before it train.",
                report.server_round,
            )

    def _note_scoring(self, report: RoundReport) -> None:
        """Pass on once what the scoring says of the whole round."""
        if report.note and self._is_new(report.note):
            logger.warning(
                "Round %d: the scoring finds that %s.", report.server_round, report.note
            )

    def _note_idleness(self, report: RoundReport) -> None:
        """Say once that the share to drop of so few updates is nobody."""
        if not self._share_to_drop or report.num_banned:
            return
        is_nobody = report.num_kept and not report.num_malicious
        if is_nobody and self._is_new("idleness"):
            logger.warning(
                "Round %d: num_malicious=%g of %d updates is less than one client, so "
                "nobody is dropped. Sample more clients, or give a number of clients.",
                report.server_round,
                self._share_to_drop,
                report.num_kept,
            )

    def _note_insensitivity(self, report: RoundReport) -> None:
        """Say once that the virtual samples do not show what they are there to show."""
        if report.is_insensitive and self._is_new("insensitivity"):
            logger.warning(
                "Round %d: the virtual samples hardly reach the features (sensitivity "
                "%.1e), so the scores compare little but biases, and attacks can pass. "
                'scoring="hardened" does not depend on it.',
                report.server_round,
                report.sensitivity,
            )

    def _note_silence(self, report: RoundReport, problem: Exception) -> None:
        """Say once why a dry run has nothing to tell of updates that go on."""
        if not self._is_new("silence"):
            return
        logger.warning(
            "Round %d: the updates cannot be scored: %s. With num_malicious above 0 "
            "that would end the run, or skip the round if the server has no memory.",
            report.server_round,
            type(problem).__name__,
            exc_info=problem,
        )

    def _is_new(self, what: object) -> bool:
        """Tell whether something is said for the first time."""
        is_new = what not in self._told
        self._told.add(what)
        return is_new


def _least(num_to_drop: int) -> int:
    """Give how many updates are needed so that some can be dropped."""
    return max(MIN_UPDATES, num_to_drop + 2)


def _shortage(num_to_drop: int) -> tuple[str, int, str]:
    """Say what was to be dropped, what that takes, and that it may be less."""
    least = _least(num_to_drop)
    if not num_to_drop:
        return "", least, ""
    return f" and drop {num_to_drop} of them", least, " or lower `num_malicious`"
