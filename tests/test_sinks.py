"""Sinks: what TensorBoard and MLflow show is what the report says."""

import sys

import pytest

from flwr_vdcs import Decision, RoundReport
from flwr_vdcs.errors import MissingExtraError
from flwr_vdcs.sinks import MLflowSink, TensorBoardSink

DECISIONS = (
    Decision("1", "kept", 0.5),
    Decision("2", "kept", 0.25),
    Decision("3", "dropped", -0.5),
    Decision("4", "quarantined", None, "NaN"),
    Decision("5", "banned"),
    Decision("6", "idle", None, "it has no examples"),
)
EXPECTED = {
    "vdcs/kept": 2,
    "vdcs/idle": 1,
    "vdcs/dropped": 1,
    "vdcs/quarantined": 1,
    "vdcs/banned": 1,
    "vdcs/seconds": 0.5,
    "vdcs/margin": 0.75,
    "vdcs/sensitivity": 0.125,
}


def report(server_round: int, **fields) -> RoundReport:
    """Make a report with one verdict of each kind, or none."""
    given = {"decisions": DECISIONS, "sensitivity": 0.125, **fields}
    return RoundReport(
        server_round=server_round,
        num_malicious=1,
        scoring="paper",
        device="cpu",
        seed=0,
        seconds=0.5,
        **given,
    )


def tell(sink) -> None:
    """Tell of two training rounds, the second without any reply, and an evaluation."""
    sink(report(1))
    sink(report(2, decisions=(), sensitivity=None))
    sink(report(2, phase="evaluate"))


def test_tensorboard_reads_back_what_was_reported(tmp_path):
    """Every curve has the round's number; rounds without scores have no margin."""
    pytest.importorskip("tensorboard", reason="needs the extra `tensorboard`")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tell(TensorBoardSink(tmp_path))
    events = EventAccumulator(str(tmp_path)).Reload()
    curves = {tag: events.Scalars(tag) for tag in events.Tags()["scalars"]}
    assert {tag: curve[0].value for tag, curve in curves.items()} == EXPECTED
    assert [event.step for event in curves["vdcs/kept"]] == [1, 2]
    assert [event.step for event in curves["vdcs/margin"]] == [1]
    [histogram] = events.Histograms("vdcs/scores")
    assert histogram.histogram_value.num == 3


def test_mlflow_reads_back_what_was_reported(tmp_path, monkeypatch):
    """The metrics are those of the active run."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow = pytest.importorskip("mlflow", reason="needs the extra `mlflow`")
    mlflow.set_tracking_uri((tmp_path / "runs").as_uri())
    with mlflow.start_run() as run:
        tell(MLflowSink())
    client = mlflow.MlflowClient()
    history = client.get_metric_history(run.info.run_id, "vdcs/kept")
    assert [(metric.step, metric.value) for metric in history] == [(1, 2.0), (2, 0.0)]
    margins = client.get_metric_history(run.info.run_id, "vdcs/margin")
    assert [metric.value for metric in margins] == [0.75]


@pytest.mark.parametrize(
    ("build", "module", "extra"),
    [
        (lambda: TensorBoardSink("."), "torch.utils.tensorboard", "tensorboard"),
        (MLflowSink, "mlflow", "mlflow"),
    ],
)
def test_what_is_missing_is_named(monkeypatch, build, module, extra):
    """The error says which extra to install."""
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"flwr-vdcs\[{extra}\]"):
        build()
