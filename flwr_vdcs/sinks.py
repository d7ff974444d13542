"""Round reports to dashboards: ready-made listeners for ``on_round``."""

import os
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np

from flwr_vdcs.errors import MissingExtraError
from flwr_vdcs.report import RoundReport


class TensorBoardSink:
    """Write each training round's counts and scores as TensorBoard events.

    Needs ``pip install "flwr-vdcs[tensorboard]"``.

    Parameters
    ----------
    log_dir : path
        Folder for the events, which ``tensorboard --logdir`` shows.

    Raises
    ------
    MissingExtraError
        If TensorBoard is not installed.
    """

    def __init__(self, log_dir: str | os.PathLike[str]) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingExtraError("TensorBoardSink", "tensorboard") from error
        self._writer: Any = SummaryWriter(str(log_dir))

    def __call__(self, report: RoundReport) -> None:
        """Write one round."""
        if report.phase != "train":
            return
        for name, value in _numbers(report):
            self._writer.add_scalar(name, value, report.server_round)
        if len(scores := _scores(report)):
            self._writer.add_histogram("vdcs/scores", scores, report.server_round)
        self._writer.flush()


class MLflowSink:
    """Log each training round's counts as metrics of MLflow's active run.

    Needs ``pip install "flwr-vdcs[mlflow]"``. Where runs go is MLflow's to decide, by
    ``mlflow.set_tracking_uri``, ``mlflow.set_experiment`` and ``mlflow.start_run``.

    Raises
    ------
    MissingExtraError
        If MLflow is not installed.
    """

    def __init__(self) -> None:
        try:
            import mlflow
        except ImportError as error:
            raise MissingExtraError("MLflowSink", "mlflow") from error
        self._mlflow: ModuleType = mlflow

    def __call__(self, report: RoundReport) -> None:
        """Log one round."""
        if report.phase == "train":
            numbers = dict(_numbers(report))
            self._mlflow.log_metrics(numbers, step=report.server_round)


def _numbers(report: RoundReport) -> Iterator[tuple[str, float]]:
    """Name the numbers of a round that are worth a curve."""
    yield "vdcs/kept", report.num_kept
    yield "vdcs/idle", report.num_idle
    yield "vdcs/dropped", report.num_dropped
    yield "vdcs/quarantined", report.num_quarantined
    yield "vdcs/banned", report.num_banned
    yield "vdcs/seconds", report.seconds
    if report.margin is not None:
        yield "vdcs/margin", report.margin
    if report.sensitivity is not None:
        yield "vdcs/sensitivity", report.sensitivity


def _scores(report: RoundReport) -> np.ndarray:
    return np.array([d.score for d in report.decisions if d.score is not None])
