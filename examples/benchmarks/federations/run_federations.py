"""What the plugin does to the model and to each hospital, on unequal federations.

Run ``python examples/benchmarks/federations/run_federations.py --help`` for its
options. Each federation trains to convergence three times: with the plugin, without
it, and with the honest hospitals alone. Writes a row for each round and client; runs
that are in the file are not run again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from federations.catalogue import federations
from federations.commit import commit
from federations.federation import Federation
from federations.measuring import AUTO, FIELDS, HONEST_ALONE, PLAIN, RUN, rows_of
from federations.simulation import MakeStrategy, Simulation, hardened, plain
from rich.progress import track
from rows import Rows

RULES: dict[str, tuple[MakeStrategy, bool]] = {
    PLAIN: (plain, False),
    HONEST_ALONE: (plain, True),
    AUTO: (hardened(is_told=False), False),
    "hardened, M given": (hardened(is_told=True), False),
}
"""By its name the strategy, and whether the liars are left out."""

ALWAYS = (PLAIN, HONEST_ALONE)


def play(
    federation: Federation, run: dict[str, Any], device: str, made_by: str
) -> Iterator[dict[str, Any]]:
    """Run one federation with one rule, and give its rows."""
    make_strategy, without_liars = RULES[run["rule"]]
    simulation = Simulation(federation, run["seed"], run["attack"], run["who"], device)
    for played in simulation.play(make_strategy, without_liars=without_liars):
        yield from map(dict, rows_of(run, simulation, played, made_by))


def main(
    *,
    output: Annotated[Path, typer.Option(help="The CSV.")] = Path("federations.csv"),
    only: Annotated[
        list[str] | None, typer.Option(help="Name of a federation; may be repeated.")
    ] = None,
    attack: Annotated[
        list[str] | None,
        typer.Option(help="Attack and who lies, as reversed:largest; may be repeated."),
    ] = None,
    rule: Annotated[
        list[str] | None, typer.Option(help="Rule of the plugin; may be repeated.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds for each.")] = 3,
    heart: Annotated[
        Path | None, typer.Option(help="heart-disease.csv of four hospitals.")
    ] = None,
    blood_cells: Annotated[
        str, typer.Option(help="Path of bloodmnist.npz, if it is to be used.")
    ] = "",
    device: Annotated[str, typer.Option(help="Where to train and score.")] = "cpu",
) -> None:
    """Run what is missing in the CSV."""
    logging.disable(logging.ERROR)
    rows = Rows(output, FIELDS)
    known = {tuple(row[name] for name in RUN) for row in rows.read()}
    chosen = [f for f in federations(heart, blood_cells) if not only or f.name in only]
    rules = (*ALWAYS, *(rule or [AUTO]))
    attacks = [each.partition(":")[::2] for each in attack or ["none:"]]
    missing = [
        (federation, run)
        for federation, (name, who), seed, rule_name in product(
            chosen, attacks, range(seeds), rules
        )
        if tuple(
            map(str, (run := _run(federation, name, who, seed, rule_name)).values())
        )
        not in known
    ]
    made_by = commit()
    for federation, run in track(missing, description="runs"):
        rows.extend(list(play(federation, run, device, made_by)))


def _run(
    federation: Federation, attack: str, who: str, seed: int, rule: str
) -> dict[str, Any]:
    values = (federation.name, federation.is_held_out, attack, who, seed, rule)
    return dict(zip(RUN, values, strict=True))


if __name__ == "__main__":
    torch.set_num_threads(1)
    typer.run(main)
