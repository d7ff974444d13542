"""The results file: one JSON line a round, written as the run goes."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
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
    tensorboard : str
        Folder for TensorBoard's scalars, which needs TensorBoard. An empty string
        writes none.
    partitions : Mapping[int, int]
        Partition by node id.
    num_poisoned : int
        The partitions below this number are poisoned.
    """

    def __init__(
        self,
        results: str,
        tensorboard: str,
        partitions: Mapping[int, int],
        num_poisoned: int,
    ) -> None:
        self.path = Path(results) if results else None
        self.writer = _open_tensorboard(tensorboard) if tensorboard else None
        self.partitions = {str(node): place for node, place in partitions.items()}
        self.num_poisoned = num_poisoned
        self.started = time.monotonic()
        if self.path:
            self.path.write_text("")

    def write(
        self,
        server_round: int,
        measured: Mapping[str, float],
        reports: Sequence[RoundReport],
    ) -> None:
        """Append one round; round 0 is the untrained model.

        Parameters
        ----------
        server_round : int
            The round.
        measured : Mapping[str, float]
            Accuracy, loss and whatever else is known of the global model.
        reports : Sequence[RoundReport]
            The plugin's, of which this round's is written.
        """
        now = time.monotonic()
        numbers = {**measured, "seconds": round(now - self.started, 3)}
        self.started = now
        decisions = [
            self._describe(decision)
            for report in reports
            if report.server_round == server_round
            for decision in report.decisions
        ]
        finite = {k: v if math.isfinite(v) else None for k, v in numbers.items()}
        line = {"round": server_round, **finite, "decisions": decisions}
        if self.path:
            with self.path.open("a") as file:
                file.write(json.dumps(line) + "\n")
        if self.writer:
            for name, value in numbers.items():
                self.writer.add_scalar(name, value, server_round)
            self.writer.flush()

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


def _open_tensorboard(folder: str) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ValueError(
            'tensorboard="…" needs TensorBoard: pip install tensorboard'
        ) from error
    return SummaryWriter(folder)
