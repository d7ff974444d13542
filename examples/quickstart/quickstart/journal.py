"""The results file: one JSON line a round, written as the run goes."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flwr_vdcs import Decision, RoundReport


class Journal:
    """Writes accuracy, loss, time and the plugin's decisions after every round.

    Parameters
    ----------
    results : str
        Path of the file, which is emptied first. An empty string writes nothing.
    partitions : dict[str, int]
        Partition by client id.
    num_poisoned : int
        The partitions below this number are poisoned.
    """

    def __init__(
        self, results: str, partitions: dict[str, int], num_poisoned: int
    ) -> None:
        self.path = Path(results) if results else None
        self.partitions = partitions
        self.num_poisoned = num_poisoned
        self.started = time.monotonic()
        if self.path:
            self.path.write_text("")

    def write(
        self,
        server_round: int,
        loss: float,
        accuracy: float,
        reports: Sequence[RoundReport],
    ) -> None:
        """Append one round; round 0 is the untrained model."""
        now = time.monotonic()
        decisions = [
            decision
            for report in reports
            if report.server_round == server_round
            for decision in report.decisions
        ]
        line = {
            "round": server_round,
            "accuracy": accuracy,
            "loss": loss if math.isfinite(loss) else None,
            "seconds": round(now - self.started, 3),
            "decisions": [self._describe(decision) for decision in decisions],
        }
        self.started = now
        if self.path:
            with self.path.open("a") as file:
                file.write(json.dumps(line) + "\n")

    def _describe(self, decision: Decision) -> dict[str, Any]:
        partition = self.partitions[decision.client_id]
        return {
            "client": decision.client_id,
            "partition": partition,
            "poisoned": partition < self.num_poisoned,
            "verdict": decision.verdict,
            "score": decision.score,
            "reason": decision.reason,
        }
