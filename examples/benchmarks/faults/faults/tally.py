"""Decisions to counts: what became of each kind of mutation."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from faults.tampering import Kind, Round
from flwr_vdcs import RoundReport

VERDICTS = ("kept", "dropped", "quarantined")
RAISED, NOT_FINITE, INNOCENT = "raised", "non-finite models", "honest quarantined"
COUNTS = ("replies", *VERDICTS, "errors", RAISED, NOT_FINITE, INNOCENT)
COLUMNS = ("api", "phase", "mutation", *COUNTS)


class Tally:
    """Counts by kind of mutation, and in words what should not have happened.

    The counts are those of the CSV file: ``replies`` sent, what became of them
    (``errors`` are not judged), and for the rounds with such a reply how often an
    exception left the plugin (``raised``), how often the next global model was not
    finite, and how many honest replies were quarantined.
    """

    def __init__(self) -> None:
        self.counts: defaultdict[Kind, Counter[str]] = defaultdict(Counter)
        self.problems: list[str] = []

    @property
    def num_judged(self) -> int:
        """How many mutated replies the plugin had to judge: all but errors."""
        return self.total("replies") - self.total("errors")

    def add_round(self, sent: Round, reports: Sequence[RoundReport]) -> None:
        """Count the mutated replies of a round, and what was decided on them.

        An evaluation in which nothing was quarantined has no report.
        """
        for draft in sent.replies:
            if kind := sent.kinds.get(str(draft.client)):
                self.counts[kind]["replies"] += 1
                self.counts[kind]["errors"] += draft.is_error
                self.counts[kind]["kept"] += not (draft.is_error or reports)
        for decision in (each for report in reports for each in report.decisions):
            if kind := sent.kinds.get(decision.client_id):
                self.counts[kind][decision.verdict] += 1
            elif decision.verdict == "quarantined":
                self.add_problem(INNOCENT, sent, decision.reason)

    def add_problem(self, count: str, sent: Round, problem: str) -> None:
        """Count for every mutation of a round what should not have happened."""
        kinds = set(sent.kinds.values())
        mutations = ", ".join(sorted(mutation for _, _, mutation in kinds))
        self.problems.append(f"{count}: {problem} ({sent.where}; {mutations})")
        for kind in kinds:
            self.counts[kind][count] += 1

    def total(self, count: str) -> int:
        """Add up one count, in which a round may appear once for each mutation."""
        return sum(counts[count] for counts in self.counts.values())

    def write(self, path: Path) -> None:
        """Write one row for each kind."""
        with path.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            for kind, counts in sorted(self.counts.items()):
                writer.writerow([*kind, *(counts[name] for name in COUNTS)])
