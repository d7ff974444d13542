"""Compare four runs of the quickstart: no attack, attacked, and attacked and checked.

Run ``python examples/quickstart/compare.py --help`` for its options.
"""

from __future__ import annotations

import signal
import sys
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from subprocess import Popen
from typing import Annotated

import typer
from comparison.federation import (
    Flower,
    RunConfig,
    count_error_replies,
    isolated_flower,
)
from comparison.picture import draw
from comparison.results import (
    VERDICTS,
    Rounds,
    count_left_out,
    count_verdicts,
    find_poisoned,
    read_rounds,
    write_csv,
)
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

APP = Path(__file__).resolve().parent
NUM_CLIENTS = 10
HONEST, ATTACKED = "no attack", "attacked"
PUBLISHED, PROTECTED = "attacked, published score", "attacked, with the plugin"
STARTUP_STEPS = 3
MAX_SILENT_SECONDS = 300
LOG_TAIL_LINES = 25


class AttackName(StrEnum):
    """The attacks to choose from."""

    UNTARGETED = "untargeted"
    TARGETED = "targeted"
    SIGN_FLIP = "sign-flip"


@dataclass
class SimulationError(Exception):
    """A simulation did not do what it was started for.

    Parameters
    ----------
    name : str
        Which run.
    problem : str
        What was wrong with it.
    log : str
        All it wrote.
    """

    name: str
    problem: str
    log: str

    def __str__(self) -> str:
        """Say what failed, then show the end of the log."""
        tail = "\n".join(self.log.splitlines()[-LOG_TAIL_LINES:])
        return f"The run '{self.name}' failed: {self.problem}. End of its log:\n{tail}"


@dataclass(frozen=True)
class Bar:
    """The share of one run in the progress bar of them all."""

    progress: Progress
    task: TaskID
    name: str
    position: int
    num_rounds: int

    def show(self, num_lines: int) -> None:
        """Move the bar to the given number of lines in the results file."""
        done = num_lines and STARTUP_STEPS + num_lines - 1
        step = f"round {num_lines} of {self.num_rounds}" if num_lines else "starting"
        self.progress.update(
            self.task,
            completed=self.position * (STARTUP_STEPS + self.num_rounds) + done,
            description=f"{self.name}: {step if done < self._total else 'done'}",
        )

    @property
    def _total(self) -> int:
        return STARTUP_STEPS + self.num_rounds


def plan(
    attack: AttackName, fraction_malicious: float, rounds: int, seed: int
) -> dict[str, RunConfig]:
    """Write the settings of every run, by its name."""
    common: RunConfig = {"num-server-rounds": rounds, "seed": seed}
    attacked = {
        **common,
        "attack": attack.value,
        "fraction-malicious": fraction_malicious,
    }
    # The published score has to be told how many are poisoned. The plugin is not.
    num_poisoned = round(fraction_malicious * NUM_CLIENTS)
    published = {"scoring": "paper", "num-malicious": num_poisoned}
    return {
        HONEST: {**common, "attack": "none", "plugin": False},
        ATTACKED: {**attacked, "plugin": False},
        PUBLISHED: {**attacked, "plugin": True, **published},
        PROTECTED: {**attacked, "plugin": True},
    }


def run_all(configs: dict[str, RunConfig], num_rounds: int) -> dict[str, Rounds]:
    """Run one simulation after the other behind one progress bar."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:.0f} %"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    total = len(configs) * (STARTUP_STEPS + num_rounds)
    with isolated_flower() as flower, Progress(*columns) as progress:
        task = progress.add_task("starting", total=total)
        return {
            name: run_one(
                flower, config, Bar(progress, task, name, position, num_rounds)
            )
            for position, (name, config) in enumerate(configs.items())
        }


def run_one(flower: Flower, config: RunConfig, bar: Bar) -> Rounds:
    """Run one simulation and return its rounds.

    Raises
    ------
    SimulationError
        If it ended early, fell silent, or if clients failed.
    """
    results = flower.home / f"results-{bar.position}.jsonl"
    log = flower.home / f"log-{bar.position}.txt"
    process = flower.run(APP, NUM_CLIENTS, {**config, "results": str(results)}, log)
    follow(process, results, bar)
    rounds, text = read_rounds(results), log.read_text(errors="replace")
    checked = bool(config["plugin"])
    if problem := find_problem(rounds, text, bar.num_rounds, checked=checked):
        raise SimulationError(bar.name, problem, text)
    return rounds


def follow(process: Popen[bytes], results: Path, bar: Bar) -> None:
    """Show progress until the process ends, or writes nothing for too long."""
    num_lines, deadline = 0, time.monotonic() + MAX_SILENT_SECONDS
    bar.show(num_lines)
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.3)
        if (now := len(read_rounds(results))) > num_lines:
            num_lines, deadline = now, time.monotonic() + MAX_SILENT_SECONDS
            bar.show(num_lines)


def find_problem(rounds: Rounds, log: str, num_rounds: int, *, checked: bool) -> str:
    """Say what went wrong in a run that has ended; an empty string if nothing did.

    Flower's exit code does not tell: a failed run, and one in which every client
    failed, exit with 0.
    """
    if len(rounds) < num_rounds + 1:
        return f"{max(len(rounds) - 1, 0)} of {num_rounds} rounds were finished"
    if num_errors := count_error_replies(log):
        return f"clients answered {num_errors} times with an error"
    judged = min(len(each.verdicts) for each in rounds[1:])
    if checked and judged < NUM_CLIENTS:
        return f"only {judged} of {NUM_CLIENTS} clients were judged in a round"
    return ""


def summarise_runs(title: str, runs: dict[str, Rounds]) -> Table:
    """Lay out every run's accuracy in the last round, and what was left out."""
    table = Table("run", title=title)
    for column in ("accuracy", "poisoned left out", "honest left out"):
        table.add_column(column, justify="right")
    for name, rounds in runs.items():
        table.add_row(
            name,
            f"{rounds[-1].accuracy:.1%}",
            describe_left_out(rounds, poisoned=True),
            describe_left_out(rounds, poisoned=False),
        )
    return table


def describe_left_out(rounds: Rounds, *, poisoned: bool) -> str:
    """Say how many updates were left out of how many; nothing if none was judged."""
    left_out, judged = count_left_out(rounds, poisoned=poisoned)
    return f"{left_out} of {judged}" if judged else ""


def summarise_clients(name: str, rounds: Rounds) -> Table:
    """Lay out how often every client got which verdict in the named run."""
    table = Table("client", "is", title=f"{len(rounds) - 1} rounds, {name}")
    for verdict in VERDICTS:
        table.add_column(verdict, justify="right")
    poisoned = find_poisoned(rounds)
    for client, counts in count_verdicts(rounds).items():
        kind = "[bold]poisoned[/]" if client in poisoned else "honest"
        table.add_row(str(client), kind, *(str(counts[v]) for v in VERDICTS))
    return table


def show(console: Console, title: str, runs: dict[str, Rounds]) -> None:
    """Print the verdicts on every client, then what it came to in every run."""
    rounds = runs[PROTECTED]
    console.print(summarise_clients(PROTECTED, rounds))
    console.print(summarise_runs(f"{title}, after {len(rounds) - 1} rounds", runs))


def save(folder: Path, title: str, runs: dict[str, Rounds]) -> tuple[Path, Path]:
    """Save the picture and the numbers, and say where."""
    folder.mkdir(parents=True, exist_ok=True)
    picture, numbers = folder / "quickstart.png", folder / "quickstart.csv"
    draw(picture, title, runs, checked=PROTECTED)
    write_csv(numbers, runs)
    return picture, numbers


def main(
    *,
    attack: Annotated[
        AttackName, typer.Option(help="What the poisoned clients do.")
    ] = AttackName.UNTARGETED,
    fraction_malicious: Annotated[
        float, typer.Option(min=0, max=0.49, help="Share of poisoned clients.")
    ] = 0.3,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of every run.")] = 6,
    output_dir: Annotated[
        Path, typer.Option(help="Folder for the picture and the CSV file.")
    ] = Path(),
    seed: Annotated[
        int, typer.Option(min=0, help="Decides model, data split and noise.")
    ] = 0,
) -> None:
    """Run the same federation of ten clients four times and compare the accuracy."""
    console = Console()
    try:
        runs = run_all(plan(attack, fraction_malicious, rounds, seed), rounds)
    except SimulationError as error:
        console.print(str(error), markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(code=1) from error

    num_poisoned = len(find_poisoned(runs[PROTECTED]))
    title = f"{attack} attack by {num_poisoned} of {NUM_CLIENTS} clients, seed {seed}"
    show(console, title, runs)
    picture, numbers = save(output_dir, title, runs)
    console.print(f"Picture: {picture}\nNumbers: {numbers}")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    typer.run(main)
