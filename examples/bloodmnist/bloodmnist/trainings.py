"""Local trainings that were done before, read from disk instead of done again.

In many cells of a grid the same clients train from the same model: under attacks on
clean labels, say, that a defense finds in every round. A training is known by a digest
of all that goes into it, so a run has the same results with a store as without.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from dataclasses import astuple
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bloodmnist.algorithms import Train
from bloodmnist.loop import Batches, Memory, Settings

MAX_BYTES = 20 * 10**9
"""Beyond this the trainings that were not used for longest are deleted."""

MISSING = (OSError, EOFError, RuntimeError)
"""What reading raises where there is no file, or half of one."""


class Trainings:
    """A folder of finished trainings.

    Parameters
    ----------
    folder : Path
        Where they lie; processes may share it. Empty it when an algorithm's code or
        PyTorch changes: the digest does not know of that.
    max_bytes : int
        How much it may hold.
    """

    def __init__(self, folder: Path, max_bytes: int = MAX_BYTES) -> None:
        self.folder, self.max_bytes = folder, max_bytes
        folder.mkdir(parents=True, exist_ok=True)

    def remembering(self, train: Train) -> Train:
        """Let an algorithm read what it did before."""

        def recall_or_train(
            model: nn.Module, batches: Batches, settings: Settings, memory: Memory
        ) -> float:
            path = (
                self.folder / f"{_digest(train, model, batches, settings, memory)}.pt"
            )
            with suppress(*MISSING):
                return _read(path, model, memory)
            loss = train(model, batches, settings, memory)
            self._write(path, model, memory, loss)
            return loss

        return recall_or_train

    def _write(self, path: Path, model: nn.Module, memory: Memory, loss: float) -> None:
        """Write a file in one step, then make room."""
        content = {"state": model.state_dict(), "memory": dict(memory), "loss": loss}
        unfinished = path.with_suffix(f".{os.getpid()}")
        torch.save(content, unfinished)
        unfinished.replace(path)
        self._make_room()

    def _make_room(self) -> None:
        files = [(path, *_age_and_size(path)) for path in self.folder.glob("*.pt")]
        excess = sum(size for *_, size in files) - self.max_bytes
        for path, _, size in sorted(files, key=lambda file: file[1]):
            if excess <= 0:
                return
            path.unlink(missing_ok=True)
            excess -= size


def _age_and_size(path: Path) -> tuple[int, int]:
    """Say when a file was used last and what it takes: nothing if it is gone."""
    try:
        found = path.stat()
    except FileNotFoundError:  # another process made room
        return 0, 0
    return found.st_mtime_ns, found.st_size


def _read(path: Path, model: nn.Module, memory: Memory) -> float:
    """Put model and memory as they were after the training; note that it was used."""
    content = torch.load(path, weights_only=True)
    path.touch()
    model.load_state_dict(content["state"])
    model.train()
    memory.clear()
    memory.update(content["memory"])
    return float(content["loss"])


def _digest(
    train: Train,
    model: nn.Module,
    batches: Batches,
    settings: Settings,
    memory: Memory,
) -> str:
    """Digest everything that decides what a training makes of the model."""
    digest = hashlib.blake2b(digest_size=16)
    tensors = {
        "images": batches.images,
        "labels": batches.labels,
        "order": batches.generator.get_state(),
        **{f"model {name}": value for name, value in model.state_dict().items()},
        **{
            f"memory {name} {key}": value
            for name, state in memory.items()
            for key, value in state.items()
        },
    }
    numbers = (batches.batch_size, batches.num_classes, torch.get_num_threads())
    digest.update(f"{train.__module__} {model} {astuple(settings)} {numbers}".encode())
    for name, value in tensors.items():
        digest.update(f"{name} {value.dtype} {tuple(value.shape)} ".encode())
        digest.update(_bytes(value))
    return digest.hexdigest()


def _bytes(value: Tensor) -> memoryview:
    values = np.ascontiguousarray(value.detach().cpu().numpy())
    return values.reshape(-1).view(np.uint8).data
