"""Outcomes to tables: a line a setup, in Markdown for readers and in CSV for others."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bloodmnist.grid import Cell
from bloodmnist.reported import find_reported
from bloodmnist.summary import Outcome, Outcomes, Spread, find_setup

SETUP_COLUMNS = (
    *("algorithm", "attack", "labels", "fraction"),
    *("defense", "scoring", "num_malicious", "alpha"),
)
CSV_COLUMNS = (
    *SETUP_COLUMNS,
    *("seeds", "seeds_planned"),
    *("last_mean", "last_std", "last_min", "last_max"),
    *("maximum_mean", "maximum_std", "maximum_min", "maximum_max"),
    *("recall", "precision", "false_drops", "seconds_per_round", "paper_maximum"),
)
MARKDOWN_COLUMNS = (
    *("algorithm", "attack", "p", "defense", "alpha", "seeds"),
    *("last round, %", "maximum, %", "paper, maximum, %"),
    *("recall, %", "precision, %", "false drops a round", "seconds a round"),
)
NUM_TEXT_COLUMNS = 6
MISSING = "missing"


@dataclass(frozen=True)
class Line:
    """A setup, how many seeds of it there should be, and what came of it."""

    setup: Cell
    num_planned: int
    outcome: Outcome | None

    @property
    def num_seeds(self) -> int:
        """How many seeds of it are finished."""
        return self.outcome.num_seeds if self.outcome else 0

    @property
    def paper(self) -> str:
        """What the paper reports of it, in per cent; empty if nothing."""
        reported = find_reported(
            algorithm=self.setup.algorithm,
            attack=self.setup.attack,
            defense=self.setup.defense,
            fraction=self.setup.fraction,
            alpha=self.setup.alpha,
        )
        return " and ".join(dict.fromkeys(str(each) for each in reported))


def list_lines(outcomes: Outcomes, planned: Iterable[Cell]) -> list[Line]:
    """List what was planned, in its order, then what else there is."""
    counts = Counter(find_setup(cell) for cell in planned)
    setups = dict.fromkeys([*counts, *outcomes])
    return [Line(setup, counts[setup], outcomes.get(setup)) for setup in setups]


def write_csv(path: Path, lines: Sequence[Line]) -> None:
    """Write the lines; accuracies are from 0 to 1, and empty where they are missing."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(CSV_COLUMNS)
        for line in lines:
            setup = [getattr(line.setup, name) for name in SETUP_COLUMNS]
            seeds = [line.num_seeds, line.num_planned]
            writer.writerow([*setup, *seeds, *_numbers(line.outcome), line.paper])


def write_markdown(path: Path, lines: Sequence[Line]) -> None:
    """Write the lines, with the lowest and the highest seed in brackets."""
    numeric = len(MARKDOWN_COLUMNS) - NUM_TEXT_COLUMNS
    rule = ["---"] * NUM_TEXT_COLUMNS + ["---:"] * numeric
    table = [MARKDOWN_COLUMNS, rule, *map(_describe, lines)]
    text = "\n".join(f"| {' | '.join(cells)} |" for cells in table)
    path.write_text(text + "\n", encoding="utf-8")


def _numbers(outcome: Outcome | None) -> list[float | None]:
    if outcome is None:
        return [None] * 12
    numbers = [
        *_spread_numbers(outcome.last),
        *_spread_numbers(outcome.maximum),
        *(outcome.recall, outcome.precision, outcome.false_drops, outcome.seconds),
    ]
    return [None if number is None else round(number, 6) for number in numbers]


def _spread_numbers(spread: Spread) -> list[float]:
    return [spread.mean, spread.deviation, min(spread.values), max(spread.values)]


def _describe(line: Line) -> list[str]:
    setup, outcome = line.setup, line.outcome
    attack = f"{setup.attack}, {setup.labels} labels" if setup.fraction else "none"
    defense = f"{setup.defense} {setup.scoring}".strip()
    if setup.defense != "none":
        defense += f", M = {setup.assumed}"
    seeds = f"{line.num_seeds}"
    if line.num_seeds < line.num_planned:
        seeds += f" of {line.num_planned}"
    paper = line.paper.replace("-", " to ")
    numbers = [MISSING, MISSING, paper, "", "", "", ""]
    if outcome:
        numbers = [
            *(_percent_range(outcome.last), _percent_range(outcome.maximum), paper),
            *(_percent(outcome.recall), _percent(outcome.precision)),
            "" if outcome.false_drops is None else f"{outcome.false_drops:.1f}",
            f"{outcome.seconds:.1f}",
        ]
    p = f"{setup.fraction:g}"
    return [setup.algorithm, attack, p, defense, f"{setup.alpha:g}", seeds, *numbers]


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.0f}"


def _percent_range(spread: Spread) -> str:
    mean = f"{100 * spread.mean:.1f}"
    if len(spread.values) == 1:
        return mean
    low, high = (f"{100 * end:.1f}" for end in (min(spread.values), max(spread.values)))
    return f"{mean} ({low} to {high})"
