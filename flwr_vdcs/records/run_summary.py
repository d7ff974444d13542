"""Rounds to a summary: what a run came to, in one line at its end."""

from collections import Counter
from dataclasses import dataclass, field

from flwr_vdcs.history import LastClients
from flwr_vdcs.records.labels import Labels
from flwr_vdcs.report import SKIPPED, Decision, RoundReport, Verdict

REFUSED: tuple[Verdict, ...] = ("dropped", "quarantined", "banned")

MOST_NAMED = 5

NO_MODEL = "the wrapped strategy gave no model"
NO_ANSWER = "no client answered"


@dataclass
class _Refusals:
    """How often a client was refused, and its last refusal."""

    last: Decision
    counts: Counter[Verdict] = field(default_factory=Counter)


class RunSummary:
    """Count what became of a run's training rounds and of its clients."""

    def __init__(self) -> None:
        self.num_rounds = self.num_aggregated = 0
        self._causes: Counter[str] = Counter()
        self._last_cause = ""
        self._refused: LastClients[_Refusals] = LastClients()
        self._is_report_only = False

    def note(self, report: RoundReport) -> None:
        """Count a training round, of which no model has come yet."""
        self.num_rounds += 1
        self._is_report_only = report.report_only
        self._last_cause = _cause(report)
        self._causes[self._last_cause] += 1
        for decision in report.decisions:
            is_skip = decision.reason.startswith(SKIPPED)
            if decision.verdict in REFUSED and not is_skip:
                refusals = self._refused.get(decision.client_id, _Refusals(decision))
                refusals.last = decision
                refusals.counts[decision.verdict] += 1
                self._refused.note(decision.client_id, refusals)

    def note_model(self) -> None:
        """Note that the strategy has made a model of the last round."""
        self.num_aggregated += 1
        self._causes[self._last_cause] -= 1

    def causes(self) -> str:
        """Say why the other rounds were not aggregated; in brackets, or nothing."""
        causes = [f"{why}: {n}" for why, n in self._causes.most_common() if n > 0]
        return f" ({', '.join(causes)})" if causes else ""

    def refusals(self, labels: Labels) -> str:
        """Say who was refused how often; after semicolons, or nothing.

        Parameters
        ----------
        labels
            What clients are called.
        """
        return "".join(self._told_of(verdict, labels) for verdict in REFUSED)

    def _told_of(self, verdict: Verdict, labels: Labels) -> str:
        """Name the clients with one verdict, those with most of them first."""
        found = [each for each in self._refused.values() if each.counts[verdict]]
        if not found:
            return ""
        found.sort(key=lambda each: -each.counts[verdict])
        named = [
            f"{labels.of(each.last)} {_times(each.counts[verdict])}"
            for each in found[:MOST_NAMED]
        ]
        if len(found) > MOST_NAMED:
            named.append(f"{len(found) - MOST_NAMED} more")
        would = "would have been " if self._is_report_only else ""
        return f"; {would}{verdict}: {', '.join(named)}"


def _cause(report: RoundReport) -> str:
    """Say why a round will have given no model, if it gives none."""
    if report.skipped:
        return report.why_skipped.removeprefix(SKIPPED)
    if report.num_kept:
        return NO_MODEL
    reasons = Counter(decision.reason for decision in report.decisions)
    return reasons.most_common(1)[0][0] if reasons else NO_ANSWER


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
