"""Grid file to cells: what to run, in which order, under which settings."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from itertools import product
from pathlib import Path
from typing import Any

from bloodmnist.run_config import AUTO, TRUTH

Value = str | int | float | bool
RunConfig = dict[str, Value]

# What does not change the numbers, but for the data set that a path leads to.
NOT_SETTINGS = {"data-path", "device", "results", "tensorboard", "trainings"}


class GridError(ValueError):
    """The grid cannot be run as it was asked for; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One run: what varies between the runs of a profile.

    Parameters
    ----------
    profile : str
        Name of the settings that all cells of a grid share.
    algorithm : str
        What clients do, ``"fedavg"`` for example.
    attack : str
        What poisoned clients send; ``"none"`` for what they trained.
    labels : str
        ``"clean"``, or ``"flipped"`` for poisoned clients that train on false labels.
    fraction : float
        Share of poisoned clients; 0 where nothing is poisoned.
    defense : str
        ``"none"``, ``"vdcs"`` or a baseline's name.
    scoring : str
        The plugin's scoring; empty for any other defense.
    num_malicious : int
        How many clients the defense assumes to be malicious; 0 without a defense.
    alpha : float
        Concentration of the Dirichlet distribution of the clients' labels.
    seed : int
        Decides model, data split, order and noise.
    """

    profile: str
    algorithm: str
    attack: str
    labels: str
    fraction: float
    defense: str
    scoring: str
    num_malicious: int
    alpha: float
    seed: int

    @property
    def name(self) -> str:
        """What people read: ``fedavg, ump-paper clean at 0.3, vdcs paper M=3, …``."""
        attack, defense = "no attack", "no defense"
        if self.fraction:
            attack = f"{self.attack} {self.labels} at {self.fraction:g}"
        if self.defense != "none":
            scoring = f" {self.scoring}" if self.scoring else ""
            defense = f"{self.defense}{scoring} M={self.assumed}"
        return (
            f"{self.algorithm}, {attack}, {defense}, "
            f"alpha {self.alpha:g}, seed {self.seed}"
        )

    @property
    def assumed(self) -> str:
        """How many malicious clients the defense is told."""
        return "auto" if self.num_malicious == AUTO else f"{self.num_malicious}"

    @property
    def file_name(self) -> str:
        """What files of this cell are called, without their suffix."""
        values = [f"{getattr(self, field.name)}" for field in fields(self)]
        return "_".join(value or "-" for value in values)

    @property
    def run_config(self) -> RunConfig:
        """The cell's part of the app's run config."""
        config: RunConfig = {
            "algorithm": self.algorithm,
            "attack": self.attack,
            "labels": self.labels,
            "fraction-malicious": self.fraction,
            "defense": self.defense,
            "num-malicious": self.num_malicious,
            "alpha": self.alpha,
            "seed": self.seed,
        }
        return config | ({"scoring": self.scoring} if self.scoring else {})


@dataclass(frozen=True)
class Grid:
    """The cells of a grid file, each once, the most important first.

    Parameters
    ----------
    profile : str
        Name of the settings.
    num_supernodes : int
        Number of clients.
    shared : dict
        The part of the run config that all cells share.
    cells : tuple[Cell, ...]
        What to run.
    """

    profile: str
    num_supernodes: int
    shared: RunConfig
    cells: tuple[Cell, ...]

    @property
    def num_rounds(self) -> int:
        """Rounds of every run, not counting the test of the untrained model."""
        return int(self.shared["num-server-rounds"])

    @property
    def settings(self) -> str:
        """Eight hexadecimal digits that change with any shared setting."""
        settings = {k: v for k, v in self.shared.items() if k not in NOT_SETTINGS}
        settings["num-supernodes"] = self.num_supernodes
        settings["data"] = Path(str(self.shared.get("data-path", ""))).name
        text = json.dumps(settings, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]


DEFAULTS: RunConfig = {
    "seed": 0,
    "alpha": 10.0,
    "algorithm": "fedavg",
    "fraction": 0.0,
    "attack": "none",
    "labels": "clean",
    "defense": "none",
    "scoring": "paper",
    "num-malicious": -1,
}


def read_grid(path: Path, overrides: Mapping[str, Value] | None = None) -> Grid:
    """Read a grid file; the overrides replace settings that all cells share.

    Every ``[[cells]]`` table stands for the product of its values, each a value or a
    list. A cell that several tables name is run once, where it first stands.

    Raises
    ------
    GridError
        If the file has a key it should not have, or lacks one that it needs.
    """
    try:
        content = tomllib.loads(path.read_text())
        _check_keys(content, {"profile", "num-supernodes", "run-config", "cells"})
        shared = {**content["run-config"], **(overrides or {})}
        _check_shared(shared)
        profile, num_supernodes = content["profile"], content["num-supernodes"]
        cells = [
            _normalise(Cell(profile=profile, **values), num_supernodes)
            for table in content["cells"]
            for values in _expand(table)
        ]
    except (KeyError, ValueError) as error:
        raise GridError(f"cannot read the grid {path}: {error!s}") from error
    return Grid(profile, num_supernodes, shared, tuple(dict.fromkeys(cells)))


def _expand(table: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the product of a table's values; the defense changes the fastest."""
    if unknown := table.keys() - DEFAULTS.keys():
        raise ValueError(f"cells have no {sorted(unknown)}: use {list(DEFAULTS)}")
    values = {key: table.get(key, default) for key, default in DEFAULTS.items()}
    lists = [v if isinstance(v, list) else [v] for v in values.values()]
    names = [key.replace("-", "_") for key in values]
    for chosen in product(*lists):
        yield dict(zip(names, chosen, strict=True))


def _normalise(cell: Cell, num_supernodes: int) -> Cell:
    """Write cells that do the same in the same way, so that they are run once."""
    harmless = cell.attack == "none" and cell.labels == "clean"
    if harmless or round(cell.fraction * num_supernodes) == 0:
        cell = replace(cell, attack="none", labels="clean", fraction=0.0)
    assumed = cell.num_malicious
    if assumed == TRUTH:
        assumed = round(cell.fraction * num_supernodes)
    return replace(
        cell,
        fraction=float(cell.fraction),
        alpha=float(cell.alpha),
        scoring=cell.scoring if cell.defense == "vdcs" else "",
        num_malicious=0 if cell.defense == "none" else assumed,
    )


def _check_keys(content: dict[str, Any], needed: set[str]) -> None:
    if content.keys() != needed:
        raise ValueError(f"it has {sorted(content)}, but needs {sorted(needed)}")


def _check_shared(shared: Mapping[str, Value]) -> None:
    if "num-server-rounds" not in shared:
        raise ValueError("its run-config has no num-server-rounds")
    cell = Cell(profile="", **next(_expand({})))
    if varying := shared.keys() & (cell.run_config.keys() | {"scoring"}):
        raise ValueError(f"{sorted(varying)} vary by cell: move them to [[cells]]")
