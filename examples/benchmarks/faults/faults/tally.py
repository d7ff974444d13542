"""Decisions to counts: what became of each kind of mutation."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from faults.tampering import Kind, Round
from flwr_vdcs import RoundReport

VERDICTS = ("kept", "dropped", "quarantined", "idle")
RAISED, NOT_FINITE = "raised", "non-finite models"
INNOCENT, BANNED = "honest quarantined", "honest banned"
CHANGED = "outcomes changed"
PROBLEMS = (RAISED, NOT_FINITE, INNOCENT, BANNED, CHANGED)
COUNTS = ("replies", *VERDICTS, "errors", *PROBLEMS)
BY_MUTATION = ("api", "phase", "mutation")
BY_SETTING = ("travels", "setting")


class Tally:
    """Counts by kind of mutation, and in words what should not have happened.

    The counts are those of the CSV files: ``replies`` sent, what became of them
    (``errors`` are not judged), and for the rounds with such a reply how often an
    exception left the plugin (``raised``), how often the next global model was not
    finite, how many honest replies were quarantined, how many clients were banned that
    are honest in all rounds, and how often a plugin that only reports has changed what
    comes of the round.
    """

    def __init__(self) -> None:
        self.counts: defaultdict[Kind, Counter[str]] = defaultdict(Counter)
        self.problems: list[str] = []
        self.num_judged = 0
        """How many mutated replies the plugin had to judge: all but errors."""

    def add_round(self, sent: Round, reports: Sequence[RoundReport]) -> None:
        """Count the mutated replies of a round, and what was decided on them.

        An evaluation in which nothing was quarantined has no report.
        """
        for draft in sent.replies:
            if kind := sent.kinds.get(str(draft.client)):
                self.num_judged += not draft.is_error
                self.counts[kind]["replies"] += 1
                self.counts[kind]["errors"] += draft.is_error
                self.counts[kind]["kept"] += not (draft.is_error or reports)
        for report in reports:
            self._add_report(sent, report)

    def add_problem(self, count: str, sent: Round, problem: str) -> None:
        """Count for every mutation of a round what should not have happened."""
        kinds = set(sent.kinds.values())
        mutations = ", ".join(sorted({kind.mutation for kind in kinds}))
        self.problems.append(f"{count}: {problem} ({sent.where}; {mutations})")
        for kind in kinds:
            self.counts[kind][count] += 1

    def total(self, count: str) -> int:
        """Add up one count, in which a round may appear once for each mutation."""
        return sum(counts[count] for counts in self.counts.values())

    def write(self, path: Path, by: Sequence[str] = BY_MUTATION) -> None:
        """Write a row for each kind, as far as some of its fields tell them apart."""
        rows: defaultdict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
        for kind, counts in self.counts.items():
            rows[tuple(getattr(kind, name) for name in by)].update(counts)
        with path.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([*by, *COUNTS])
            for row, counts in sorted(rows.items()):
                writer.writerow([*row, *(counts[name] for name in COUNTS)])

    def _add_report(self, sent: Round, report: RoundReport) -> None:
        for decision in report.decisions:
            if kind := sent.kinds.get(decision.client_id):
                self.counts[kind][decision.verdict] += 1
            elif decision.verdict == "quarantined":
                self.add_problem(INNOCENT, sent, decision.reason)
        for client in set(report.bans) - set(sent.liars):
            self.add_problem(BANNED, sent, client)
