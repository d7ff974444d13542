"""Record real rounds, on which `judge_rules.py` judges rules and attacks.

Run ``python examples/benchmarks/verdicts/record_rounds.py --help`` for its options.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress
from verdicts.recording import TRAJECTORIES, is_recorded, record


def main(
    *,
    output: Annotated[
        Path, typer.Option(help="Folder for the recordings: about 30 GB in all.")
    ] = Path("recorded-rounds"),
    data_path: Annotated[
        str, typer.Option(help="Path of bloodmnist.npz; downloaded if not given.")
    ] = "",
    only: Annotated[
        str, typer.Option(help="Record only trajectories with this in their name.")
    ] = "",
) -> None:
    """Run the clean trajectories and keep some of their rounds; finished ones stay."""
    output.mkdir(parents=True, exist_ok=True)
    missing = [t for t in TRAJECTORIES if only in t.name and not is_recorded(t, output)]
    with Progress() as progress:
        bar = progress.add_task("", total=sum(t.num_rounds for t in missing))
        for trajectory in missing:
            for name in record(trajectory, data_path, output):
                progress.update(bar, advance=1, description=name)


if __name__ == "__main__":
    typer.run(main)
