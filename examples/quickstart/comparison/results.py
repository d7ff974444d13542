"""Results files to numbers: rounds, verdicts by client, and one table of them all."""

from __future__ import annotations

import csv
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VERDICTS = ("kept", "dropped", "quarantined")


@dataclass(frozen=True)
class Round:
    """One line of a results file."""

    number: int
    accuracy: float
    loss: float | None
    verdicts: dict[int, str]
    poisoned: frozenset[int]

    @classmethod
    def from_json(cls, line: str) -> Round:
        """Read one line, as the ServerApp's journal writes it."""
        fields: dict[str, Any] = json.loads(line)
        decisions = fields["decisions"]
        return cls(
            number=fields["round"],
            accuracy=fields["accuracy"],
            loss=fields["loss"],
            verdicts={d["partition"]: d["verdict"] for d in decisions},
            poisoned=frozenset(d["partition"] for d in decisions if d["poisoned"]),
        )


Rounds = list[Round]


def read_rounds(results: Path) -> Rounds:
    """Read the complete lines of a results file that may still be growing."""
    if not results.exists():
        return []
    lines = results.read_text().splitlines(keepends=True)
    return [Round.from_json(line) for line in lines if line.endswith("\n")]


def count_verdicts(rounds: Rounds) -> dict[int, Counter[str]]:
    """Count the verdicts of every client over all rounds."""
    counts: dict[int, Counter[str]] = {}
    for each in rounds:
        for client, verdict in each.verdicts.items():
            counts.setdefault(client, Counter())[verdict] += 1
    return dict(sorted(counts.items()))


def count_left_out(rounds: Rounds, *, poisoned: bool) -> tuple[int, int]:
    """Count the updates of poisoned or of honest clients: not kept, and judged."""
    verdicts = [
        verdict
        for each in rounds
        for client, verdict in each.verdicts.items()
        if (client in each.poisoned) == poisoned
    ]
    return len(verdicts) - verdicts.count("kept"), len(verdicts)


def find_poisoned(rounds: Rounds) -> frozenset[int]:
    """Return the clients that were poisoned in any round."""
    return frozenset().union(*(each.poisoned for each in rounds))


def write_csv(path: Path, runs: dict[str, Rounds]) -> None:
    """Write a line for every run and round, with a column for every client."""
    everything = [each for rounds in runs.values() for each in rounds]
    clients = sorted({client for each in everything for client in each.verdicts})
    poisoned = find_poisoned(everything)
    kinds = {c: "poisoned" if c in poisoned else "honest" for c in clients}
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["run", "round", "accuracy", "loss"]
            + [f"client-{client}-{kind}" for client, kind in kinds.items()]
        )
        for name, rounds in runs.items():
            for each in rounds:
                verdicts = [each.verdicts.get(client, "") for client in clients]
                writer.writerow(
                    [name, each.number, each.accuracy, each.loss, *verdicts]
                )
