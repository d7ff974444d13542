"""Round reports to TensorBoard's event files."""

import os
from typing import Any

import numpy as np

from flwr_vdcs.errors import MissingExtraError
from flwr_vdcs.report import RoundReport
from flwr_vdcs.sinks._labels import Labels
from flwr_vdcs.sinks._series import numbers, run_of, settings
from flwr_vdcs.sinks._text import is_eventful, summarize


class TensorBoardSink:
    """Write each round's counts, scores and verdicts as TensorBoard events.

    Needs ``pip install "flwr-vdcs[tensorboard]"``. A copy, pickled or not, writes an
    event file of its own into the same folder.

    Parameters
    ----------
    log_dir : path
        Folder for the events, which ``tensorboard --logdir`` shows.
    max_clients : int, default 100
        How many clients get curves of their own: the first that come.

    Raises
    ------
    MissingExtraError
        If TensorBoard is not installed.
    InvalidArgumentError
        If ``max_clients`` is no int of at least 0.
    """

    def __init__(
        self, log_dir: str | os.PathLike[str], *, max_clients: int = 100
    ) -> None:
        self._log_dir = os.fspath(log_dir)
        self._labels = Labels(max_clients)
        self._run: str | None = None
        self._writer: Any = _writer(self._log_dir)

    def __call__(self, report: RoundReport) -> None:
        """Write one round."""
        if self._writer is None:
            self._writer = _writer(self._log_dir)
        if run_of(report) != self._run:
            self._run = run_of(report)
            self._write_text("vdcs/settings", _table(settings(report)), report)
        for name, value in numbers(report, self._labels):
            self._writer.add_scalar(name, value, report.server_round)
        if report.phase == "train" and len(scores := _scores(report)):
            self._writer.add_histogram("vdcs/scores", scores, report.server_round)
        if is_eventful(report):
            self._write_text("vdcs/rounds", summarize(report), report)
        self._writer.flush()

    def close(self) -> None:
        """Close the event file; a later round opens another one."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the open file, which belongs to this process."""
        return {**vars(self), "_writer": None}

    def _write_text(self, name: str, text: str, report: RoundReport) -> None:
        self._writer.add_text(name, text, report.server_round)


def _writer(log_dir: str) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingExtraError("TensorBoardSink", "tensorboard") from error
    return SummaryWriter(log_dir)


def _table(rows: dict[str, str]) -> str:
    """Lay out names and values in Markdown, which TensorBoard shows as a table."""
    lines = [f"| {name} | {value} |" for name, value in rows.items()]
    return "\n".join(["| setting | value |", "| --- | --- |", *lines])


def _scores(report: RoundReport) -> np.ndarray:
    return np.array([d.score for d in report.decisions if d.score is not None])
