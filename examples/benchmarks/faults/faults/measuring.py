"""Replies to cost: the time and the memory that examining one round takes."""

from __future__ import annotations

import ctypes
import gc
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from flwr.app import Array, ArrayRecord, ConfigRecord
from flwr.serverapp.strategy import FedAvg
from torch import nn

from faults.clients import Arrays, arrays_of
from faults.draft import WEIGHT, Draft, encoded
from faults.grid import ProcessGrid
from faults.replies import message_from
from faults.sizes import CASES, MEBIBYTE
from faults.tampering import repeated
from flwr_vdcs import VirtualConsistencyStrategy

NUM_CLIENTS = 10
NUM_REPEATS = 5
HOSTILE = 5
"""Which client; that it is neither first nor last should not matter."""

STATUS = Path("/proc/self/status")
RESET = Path("/proc/self/clear_refs")
RESET_PEAK = "5"


@dataclass(frozen=True)
class Cost:
    """What one round with a hostile reply cost.

    Parameters
    ----------
    case : str
        What the client sent.
    sent_mib : float
        Size of its arrays.
    verdict : str
        What the plugin decided on it.
    reason_length : int
        How many characters it said why in.
    seconds : float
        Processor time of the examination, the median of five.
    peak_mib : float
        By how much it raised the memory of the process, the largest of five.
    """

    case: str
    sent_mib: float
    verdict: str
    reason_length: int
    seconds: float
    peak_mib: float


class Nothing(FedAvg):
    """Aggregate nothing, so that only the plugin is measured."""

    def aggregate_train(self, server_round: int, replies: Any) -> tuple[None, None]:
        """Ignore the replies."""
        return None, None


def measure(case: str) -> Cost:
    """Measure one case, in a process that does nothing else.

    Raises
    ------
    OSError
        If the system does not tell the peak of a process's memory, as Linux does.
    """
    logging.getLogger("flwr").setLevel(logging.CRITICAL)
    torch.set_num_threads(1)
    model = _build_model()
    arrays, strategy = arrays_of(model), _protected(model)
    _examine(strategy, arrays, "honest")
    runs = [_examine(strategy, arrays, case) for _ in range(NUM_REPEATS)]
    decisions = strategy.reports[-1].decisions
    decisions = [d for d in decisions if d.client_id == str(HOSTILE)]
    hostile = CASES[case](_honest(HOSTILE, arrays))
    return Cost(
        case,
        sum(map(len, hostile.arrays.values())) / MEBIBYTE,
        " and ".join(sorted({decision.verdict for decision in decisions})),
        max(len(decision.reason) for decision in decisions),
        median(seconds for seconds, _ in runs),
        max(peak for _, peak in runs),
    )


def _examine(strategy: Any, arrays: Arrays, case: str) -> tuple[float, float]:
    """Give the seconds and the MiB that one round takes."""
    grid = ProcessGrid({client: lambda _: () for client in range(1, NUM_CLIENTS + 1)})
    record = ArrayRecord({key: Array(values) for key, values in arrays.items()})
    strategy.configure_train(1, record, ConfigRecord(), grid)
    drafts = [_honest(client, arrays) for client in range(1, NUM_CLIENTS + 1)]
    drafts[HOSTILE - 1] = CASES[case](drafts[HOSTILE - 1])
    replies = [message_from(draft, "train") for draft in repeated(drafts)]
    before = _reset_peak()
    start = time.process_time()
    strategy.aggregate_train(1, replies)
    seconds = time.process_time() - start
    return seconds, _memory("VmHWM") - before


def _build_model() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 1024), nn.BatchNorm1d(1024), nn.Linear(1024, 10)
    )


def _protected(model: nn.Module) -> Any:
    return VirtualConsistencyStrategy(
        Nothing(),
        model=model,
        input_shape=(1, 28, 28),
        scoring="paper",
        num_malicious=3,
        device="cpu",
    )


def _honest(client: int, arrays: Arrays) -> Draft:
    """Move all weights a little, as training does, and each client its own way."""
    generator = torch.Generator().manual_seed(client)

    def moved(values: Any) -> Any:
        step = 0.01 * torch.randn(values.shape, generator=generator).numpy()
        return values + step if values.ndim > 1 else values

    return Draft(
        client,
        {key: encoded(moved(values)) for key, values in arrays.items()},
        {WEIGHT: 100, "train_loss": 0.5},
    )


def _reset_peak() -> float:
    """Give free memory back, let the peak be counted anew, and tell what is used."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    RESET.write_text(RESET_PEAK)
    return _memory("VmRSS")


def _memory(name: str) -> float:
    """Read how many MiB of memory the process has, or had at most."""
    lines = STATUS.read_text().splitlines()
    [kibibytes] = [line.split()[1] for line in lines if line.startswith(name)]
    return int(kibibytes) / 1024
