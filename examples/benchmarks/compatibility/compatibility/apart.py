"""An entry to its row, in a process of its own: it may hang or crash."""

from __future__ import annotations

import logging
import multiprocessing
import warnings
from multiprocessing.connection import Connection
from typing import Any

import torch

from compatibility.catalogue import catalogue
from compatibility.playing import FAILS, FIELDS, described, play

LIBRARIES = ("torchvision", "monai.networks.nets", "peft", "torch_geometric.nn")
"""What takes long to import is imported once, where it is installed."""


def played_apart(name: str, limit: float) -> dict[str, Any]:
    """Play an entry in a new process, for no longer than so many seconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, *LIBRARIES])
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_play, args=(name, sending))
    process.start()
    sending.close()
    try:
        return _received(receiving, name, limit)
    finally:
        process.kill()
        process.join()


def _received(receiving: Connection, name: str, limit: float) -> dict[str, Any]:
    failed = dict.fromkeys(FIELDS, "") | described(catalogue()[name])
    failed["result"] = FAILS
    try:
        if receiving.poll(limit):
            row: dict[str, Any] = receiving.recv()
            return row
    except EOFError:
        return {**failed, "message": "the process ended"}
    return {**failed, "message": f"not ready after {limit:.0f} seconds"}


def _play(name: str, sending: Connection) -> None:
    torch.set_num_threads(1)
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    sending.send(play(catalogue()[name]))
