"""Rounds to files: the model, its accuracy and the hospitals' names, for a restart."""

from __future__ import annotations

import json
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn


@dataclass(frozen=True)
class Records:
    """The files of one federation in one folder.

    Parameters
    ----------
    folder : Path
        Where the files are. Runs that go on from each other share it.
    """

    folder: Path

    @classmethod
    def at(cls, path: str) -> Records:
        """Make the folder at an absolute path, or a temporary one for an empty path.

        Raises
        ------
        ValueError
            If the path is relative: nobody knows where the server runs.
        """
        folder = Path(path or tempfile.mkdtemp(prefix="hospitals-"))
        if not folder.is_absolute():
            raise ValueError(f"output {path!r} is relative: give an absolute path")
        folder.mkdir(parents=True, exist_ok=True)
        return cls(folder)

    @property
    def audit_log(self) -> Path:
        """Where the plugin writes its decisions."""
        return self.folder / "audit.jsonl"

    @property
    def state(self) -> Path:
        """Where the plugin keeps what it must not forget."""
        return self.folder / "state.json"

    def save_model(self, net: nn.Module) -> None:
        """Replace ``model.pt`` by the given model's state."""
        unfinished = self.folder / "model.pt.part"
        torch.save(net.state_dict(), unfinished)
        unfinished.replace(self.folder / "model.pt")

    def add_round(self, server_round: int, accuracy: float, loss: float) -> None:
        """Append a line to ``rounds.jsonl``; round 0 is the model before training."""
        finite = loss if math.isfinite(loss) else None
        line = {"round": server_round, "accuracy": accuracy, "loss": finite}
        with (self.folder / "rounds.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
