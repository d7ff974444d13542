"""Judge every rule on every attack, on rounds that `record_rounds.py` recorded.

Run ``python examples/benchmarks/verdicts/judge_rules.py --help`` for its options.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.progress import Progress
from verdicts.judging import Sheet, judge, names
from verdicts.recording import (
    LOCAL_EPOCHS,
    NUM_CLIENTS,
    ROUNDS,
    TRAJECTORIES,
    path_of,
    read,
)
from verdicts.rules import RULES, Judge

NUM_MALICIOUS = (1, 2, 3, 4)


def main(
    *,
    recordings: Annotated[
        Path, typer.Option(exists=True, help="Folder of the recorded rounds.")
    ] = Path("recorded-rounds"),
    output: Annotated[Path, typer.Option(help="CSV file to add to.")] = Path(
        "verdicts.csv"
    ),
    only: Annotated[
        str, typer.Option(help="Judge only recordings with this in their file name.")
    ] = "",
    num_malicious: Annotated[
        list[int] | None, typer.Option(help="How many attack; may be repeated.")
    ] = None,
    num_clients: Annotated[
        int, typer.Option(min=3, max=NUM_CLIENTS, help="How many clients take part.")
    ] = NUM_CLIENTS,
    rule: Annotated[
        list[str] | None, typer.Option(help="Rule to judge; may be repeated.")
    ] = None,
) -> None:
    """Let every rule meet every attack; what the CSV file has is not judged again."""
    sheet, rules = Sheet(output), rule or list(RULES)
    numbers = num_malicious or list(NUM_MALICIOUS)
    if 2 * max(numbers) >= num_clients:
        problem = f"fewer than half of the {num_clients} clients, got {max(numbers)}"
        raise typer.BadParameter(problem, param_hint="--num-malicious")
    places = [
        (trajectory, stage, epochs)
        for trajectory in TRAJECTORIES
        for stage in ROUNDS
        for epochs in LOCAL_EPOCHS
        if path_of(recordings, trajectory, stage, epochs).exists()
        and only in path_of(recordings, trajectory, stage, epochs).name
    ]
    with Progress() as progress:
        bar = progress.add_task("", total=len(places) * len(numbers))
        for place in places:
            recording = read(recordings, *place).of_first(num_clients)
            referee = Judge(recording)
            for number in numbers:
                described = f"{place[0].name}, {place[1]}, {place[2]} epochs"
                progress.update(bar, advance=1, description=described)
                for name in names(recording):
                    if not sheet.has(recording, number, name):
                        sheet.add([*judge(referee, recording, number, name, rules)])


if __name__ == "__main__":
    torch.set_num_threads(1)
    typer.run(main)
