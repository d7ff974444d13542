"""Round reports to the metrics, parameters and artifacts of an MLflow run."""

import atexit
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from flwr_vdcs.errors import InvalidArgumentError, MissingExtraError
from flwr_vdcs.records import logger
from flwr_vdcs.report import RoundReport
from flwr_vdcs.sinks._labels import Labels
from flwr_vdcs.sinks._series import numbers, run_of, settings

BATCH = 1000
"""MLflow takes so many metrics at once."""


class MLflowSink:
    """Log each round to MLflow's active run, or to a new one if none is active.

    Needs ``pip install "flwr-vdcs[mlflow]"``. Where runs go is MLflow's to decide, by
    ``mlflow.set_tracking_uri``, ``mlflow.set_experiment`` and ``mlflow.start_run``.
    The settings become parameters in the first round of a run. A parameter that the
    MLflow run has with another value stays as it is, and a warning says so.

    Parameters
    ----------
    max_clients : int, default 100
        How many clients get metrics of their own: the first that come.
    audit_log : path, optional
        The audit log's file, to be uploaded as an artifact: every
        ``audit_log_every`` rounds, and by `close`. Each upload replaces the last.
    audit_log_every : int, default 10
        Rounds between two uploads.

    Raises
    ------
    MissingExtraError
        If MLflow is not installed.
    InvalidArgumentError
        If a number is not an int in its range.
    """

    def __init__(
        self,
        *,
        max_clients: int = 100,
        audit_log: str | os.PathLike[str] | None = None,
        audit_log_every: int = 10,
    ) -> None:
        if not isinstance(audit_log_every, int) or audit_log_every < 1:
            raise InvalidArgumentError(
                "audit_log_every", audit_log_every, "an int >= 1"
            )
        _mlflow()
        self._labels = Labels(max_clients)
        self._audit_log = None if audit_log is None else Path(audit_log)
        self._audit_log_every = audit_log_every
        self._num_lines_ahead = 0
        self._mlflow_run = ""
        self._run: tuple[str, str] | None = None

    def __call__(self, report: RoundReport) -> None:
        """Log one round."""
        mlflow = _mlflow()
        client = mlflow.MlflowClient()
        self._mlflow_run = (mlflow.active_run() or mlflow.start_run()).info.run_id
        run = self._mlflow_run, run_of(report)
        if run != self._run:
            _log_settings(client, self._mlflow_run, settings(report))
            self._run = run
        for batch in _batches(list(numbers(report, self._labels))):
            metrics = [_metric(*each, report.server_round) for each in batch]
            client.log_batch(self._mlflow_run, metrics=metrics)
        if self._audit_log is not None:
            self._note_line()

    def close(self) -> None:
        """Upload the audit log if a round has come since the last upload.

        What is not closed is closed at the exit of Python.
        """
        if self._num_lines_ahead:
            self._upload()

    def _note_line(self) -> None:
        """Upload the audit log now, or at the latest at the exit."""
        atexit.register(self.close)
        self._num_lines_ahead += 1
        if self._num_lines_ahead >= self._audit_log_every:
            self._upload()

    def _upload(self) -> None:
        atexit.unregister(self.close)
        _mlflow().MlflowClient().log_artifact(self._mlflow_run, str(self._audit_log))
        self._num_lines_ahead = 0


def _mlflow() -> ModuleType:
    try:
        import mlflow
    except ImportError as error:
        raise MissingExtraError("MLflowSink", "mlflow") from error
    return mlflow


def _log_settings(client: Any, run_id: str, values: dict[str, str]) -> None:
    """Log what the run does not have yet, and name what it has otherwise."""
    known = client.get_run(run_id).data.params
    wanted = {f"vdcs/{name}": value for name, value in values.items()}
    new = [_param(*each) for each in wanted.items() if each[0] not in known]
    client.log_batch(run_id, params=new)
    if other := [
        name for name in wanted if known.get(name, wanted[name]) != wanted[name]
    ]:
        logger.warning(
            "The MLflow run %s has other values of %s; they stay as they are. Start an "
            "MLflow run for each run of the strategy to have both.",
            run_id,
            ", ".join(other),
        )


def _param(name: str, value: str) -> Any:
    from mlflow.entities import Param

    return Param(name, value)


def _metric(name: str, value: float, step: int) -> Any:
    from mlflow.entities import Metric

    return Metric(name, float(value), int(time.time() * 1000), step)


def _batches(
    items: Sequence[tuple[str, float]],
) -> Iterator[Sequence[tuple[str, float]]]:
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]
