"""Rounds to samples: a long run of Flower's own loop, watched from inside."""

from __future__ import annotations

import logging
import pickle
import sys
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from flwr.app import Array, ArrayRecord
from flwr.serverapp.strategy import FedAvg

from faults.clients import accuracy, arrays_of, num_digits
from faults.grid import ProcessGrid
from faults.models import INPUT_SHAPE, build_model
from faults.population import Population
from faults.sample import Sample
from flwr_vdcs import Reputation, RoundReport, VirtualConsistencyStrategy

PLUGIN, EMPTIED = "with the plugin", "with the plugin, reports emptied"
ALONE = "FedAvg alone, all honest"
KIBIBYTE = 1024


@dataclass
class Soak:
    """One long run.

    Parameters
    ----------
    run : str
        `PLUGIN`, `EMPTIED` or `ALONE`.
    folder : Path
        Where the audit log and the state go.
    num_rounds, num_online, num_leaving, seed : int
        Its length, and its clients.
    """

    run: str
    folder: Path
    num_rounds: int
    num_online: int
    num_leaving: int
    seed: int
    samples: list[Sample] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Gather the clients and put the plugin around FedAvg, if it is to be."""
        self._population = Population(
            self.num_online,
            self.num_leaving,
            self.seed,
            is_harmless=self.run == ALONE,
        )
        self._log = self.folder / "audit.jsonl"
        self._state = self.folder / "state.json"
        self._strategy = self._build()
        self._since = time.perf_counter()

    def _build(self) -> Any:
        strategy = FedAvg()
        if self.run == ALONE:
            return strategy
        return VirtualConsistencyStrategy(
            strategy,
            model=build_model(),
            input_shape=INPUT_SHAPE,
            num_malicious="auto",
            scoring="hardened",
            device="cpu",
            audit_log=self._log,
            state_path=self._state,
            reputation=Reputation(),
        )

    def start(self, on_round: Callable[[], object]) -> None:
        """Run all rounds, and tell of each."""
        self._on_round = on_round
        logging.getLogger("flwr").setLevel(logging.CRITICAL)
        torch.set_num_threads(1)
        arrays = arrays_of(build_model(self.seed))
        self._strategy.start(
            grid=ProcessGrid(self._population.nodes),
            initial_arrays=ArrayRecord({k: Array(v) for k, v in arrays.items()}),
            num_rounds=self.num_rounds,
            evaluate_fn=self._look,
        )

    def report_kibibytes(self) -> float:
        """Measure what the reports of a round take in memory, on average."""
        if self.run != PLUGIN:
            return 0.0
        packed = pickle.dumps(self._reports)
        tracemalloc.start()
        copies = pickle.loads(packed)
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return size / len(copies[0]) / KIBIBYTE

    @property
    def _reports(self) -> tuple[list[RoundReport], ...]:
        """What the strategy keeps in memory for the whole run, by its contract."""
        return self._strategy.reports, self._strategy.evaluation_reports

    def _look(self, server_round: int, record: ArrayRecord) -> None:
        """Take a sample after a round, and let clients come and go."""
        seconds = time.perf_counter() - self._since
        if server_round:
            arrays = {key: array.numpy() for key, array in record.items()}
            self.samples.append(self._sample(server_round, seconds, arrays))
            if self.run == EMPTIED:
                for reports in self._reports:
                    reports.clear()
            self._population.exchange()
            self._on_round()
        self._since = time.perf_counter()

    def _sample(self, server_round: int, seconds: float, arrays: Any) -> Sample:
        last = self._strategy.reports[-1] if self.run != ALONE else None
        return Sample(
            run=self.run,
            server_round=server_round,
            seconds=seconds,
            examination=last.seconds if last else 0.0,
            resident_kib=psutil.Process().memory_info().rss / KIBIBYTE,
            blocks=sys.getallocatedblocks(),
            log_bytes=_size(self._log),
            state_bytes=_size(self._state),
            clients=self._population.num_seen,
            kept=last.num_kept if last else self.num_online,
            dropped=last.num_dropped if last else 0,
            quarantined=last.num_quarantined if last else 0,
            banned=last.num_banned if last else 0,
            accuracy=accuracy(arrays, np.arange(num_digits())),
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
