"""Dashboards: what TensorBoard and MLflow show is what the report says."""

import copy
import pickle
import sys
from pathlib import Path

import pytest
from flwr.serverapp.strategy import FedAvg

from flwr_vdcs import Decision, VirtualConsistencyStrategy
from flwr_vdcs.errors import InvalidArgumentError, MissingExtraError
from flwr_vdcs.sinks import MLflowSink, PrometheusSink, TensorBoardSink, WebhookSink
from tests.federation import seeded
from tests.models import mlp
from tests.sinks.reports import QUIET, crowd, report, run

COUNTS = {
    "vdcs/kept": 2,
    "vdcs/idle": 1,
    "vdcs/dropped": 1,
    "vdcs/quarantined": 1,
    "vdcs/banned": 1,
    "vdcs/skipped": 0,
    "vdcs/seconds": 0.5,
    "vdcs/margin": 0.75,
    "vdcs/sensitivity": 0.125,
}
CLIENTS = {
    "vdcs/score/north": 0.5,
    "vdcs/score/2": 0.25,
    "vdcs/score/south": -0.5,
    "vdcs/verdict/north": 0,
    "vdcs/verdict/2": 0,
    "vdcs/verdict/south": 2,
    "vdcs/verdict/4": 3,
    "vdcs/verdict/5": 4,
    "vdcs/verdict/6": 1,
}
EVALUATION = {"vdcs/evaluate/quarantined": 1}
EXPECTED = {**COUNTS, **CLIENTS, **EVALUATION}

COPIES = pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda sink: pickle.loads(pickle.dumps(sink))]
)


def tell(sink) -> None:
    """Tell of two training rounds, the second without any reply, and an evaluation."""
    sink(report(1))
    sink(report(2, decisions=(), sensitivity=None))
    sink(report(2, phase="evaluate"))


def events_in(folder):
    """Read the event files of a folder."""
    pytest.importorskip("tensorboard", reason="needs the extra `tensorboard`")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder), {"tensors": 0}).Reload()


def texts_in(events, tag: str) -> list[str]:
    """Read what was written under a tag."""
    found = events.Tensors(f"{tag}/text_summary")
    return [event.tensor_proto.string_val[0].decode() for event in found]


@pytest.fixture
def mlflow(tmp_path, monkeypatch):
    """Give MLflow with a store of its own."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    library = pytest.importorskip("mlflow", reason="needs the extra `mlflow`")
    before = library.get_tracking_uri()
    library.set_tracking_uri((tmp_path / "runs").as_uri())
    yield library
    while library.active_run():
        library.end_run()
    library.set_tracking_uri(before)


def artifact(mlflow, run_id: str, folder: Path) -> str:
    """Read the uploaded audit log, empty if there is none."""
    client = mlflow.MlflowClient()
    names = [each.path for each in client.list_artifacts(run_id)]
    if not names:
        return ""
    assert names == ["audit.jsonl"]
    folder.mkdir(exist_ok=True)
    return Path(client.download_artifacts(run_id, names[0], str(folder))).read_text()


def test_tensorboard_reads_back_what_was_reported(tmp_path):
    """Every curve has the round's number; rounds without scores have no margin."""
    events_in(tmp_path)
    tell(TensorBoardSink(tmp_path))
    events = events_in(tmp_path)
    curves = {tag: events.Scalars(tag) for tag in events.Tags()["scalars"]}
    assert {tag: curve[0].value for tag, curve in curves.items()} == EXPECTED
    assert [event.step for event in curves["vdcs/kept"]] == [1, 2]
    assert [event.step for event in curves["vdcs/margin"]] == [1]
    [histogram] = events.Histograms("vdcs/scores")
    assert histogram.histogram_value.num == 3


def test_tensorboard_has_the_settings_once_a_run_and_what_happened(tmp_path):
    """A quiet round adds no text, and another run has its own settings."""
    events_in(tmp_path)
    sink = TensorBoardSink(tmp_path)
    sink(report(1))
    sink(report(2, decisions=QUIET))
    sink(report(1, run=run("b", num_malicious=3), decisions=QUIET))
    events = events_in(tmp_path)
    first, second = texts_in(events, "vdcs/settings")
    assert "| num_malicious | auto |" in first
    assert "| version flwr | 1.42 |" in first
    assert "| num_malicious | 3 |" in second
    [text] = texts_in(events, "vdcs/rounds")
    assert text.startswith("round 1: quarantined 4: NaN")


@COPIES
def test_a_copy_writes_to_the_same_folder(tmp_path, copied):
    """A strategy may be copied with what listens to it."""
    events_in(tmp_path)
    sink = TensorBoardSink(tmp_path)
    again = copied(sink)
    sink(report(1))
    again(report(2))
    sink.close()
    again.close()
    sink(report(3))
    kept = events_in(tmp_path).Scalars("vdcs/kept")
    assert sorted(event.step for event in kept) == [1, 2, 3]


def test_many_clients_make_no_more_curves_than_allowed(tmp_path, flower_log):
    """The first that come have curves; one warning says how to have more."""
    events_in(tmp_path)
    sink = TensorBoardSink(tmp_path, max_clients=3)
    for server_round in (1, 2):
        sink(report(server_round, decisions=crowd(1000)))
    tags = events_in(tmp_path).Tags()["scalars"]
    scores = {tag for tag in tags if tag.startswith("vdcs/score/")}
    assert scores == {"vdcs/score/0", "vdcs/score/1", "vdcs/score/2"}
    assert flower_log.text.count("`max_clients`") == 1


def test_mlflow_reads_back_what_was_reported(mlflow):
    """The metrics are those of the active run, by round."""
    with mlflow.start_run() as active:
        tell(MLflowSink())
    client = mlflow.MlflowClient()
    history = client.get_metric_history(active.info.run_id, "vdcs/kept")
    assert [(each.step, each.value) for each in history] == [(1, 2.0), (2, 0.0)]
    first = {
        name: client.get_metric_history(active.info.run_id, name)[0].value
        for name in client.get_run(active.info.run_id).data.metrics
    }
    assert first == EXPECTED


def test_mlflow_keeps_the_parameters_it_has(mlflow, flower_log):
    """A second run of a strategy in one MLflow run adds metrics, and does not raise."""
    with mlflow.start_run() as active:
        for sink in (MLflowSink(), MLflowSink()):
            sink(report(1))
        assert "other values" not in flower_log.text
        MLflowSink()(report(2, run=run("b", num_malicious=3)))
    parameters = mlflow.get_run(active.info.run_id).data.params
    assert parameters["vdcs/num_malicious"] == "auto"
    assert parameters["vdcs/version torch"] == "2.9"
    assert flower_log.text.count("other values of vdcs/num_malicious") == 1


def test_mlflow_takes_thousands_of_clients_of_any_name(mlflow):
    """Batches are small enough, and names are changed to what MLflow allows."""
    odd = ["a/b", "a_b", "..", "", "  ", "Universität", "x" * 999, "a\nb", "c:d", "é"]
    named = [Decision(str(k), "kept", 1.0, name=name) for k, name in enumerate(odd)]
    sink = MLflowSink(max_clients=2000)
    sink(report(decisions=(*named, *crowd(1500)[len(odd) :])))
    data = mlflow.get_run(mlflow.active_run().info.run_id).data.metrics
    assert sum(name.startswith("vdcs/score/") for name in data) == 1500


@COPIES
def test_mlflow_has_the_audit_log_at_last(mlflow, tmp_path, copied):
    """It is uploaded every so many rounds, and at the end, also after MLflow's run."""
    log = tmp_path / "audit.jsonl"
    sink = copied(MLflowSink(audit_log=log, audit_log_every=2))
    with mlflow.start_run() as active:
        seen = []
        for server_round in (1, 2, 3):
            log.write_text("line\n" * server_round)
            sink(report(server_round))
            seen.append(
                artifact(mlflow, active.info.run_id, tmp_path / "seen").count("line")
            )
    assert seen == [0, 2, 2]
    sink.close()
    assert artifact(mlflow, active.info.run_id, tmp_path / "seen").count("line") == 3


@COPIES
def test_a_strategy_is_copied_with_its_sinks(mlflow, tmp_path, copied):
    """Each sink of the copy is told of the copy's rounds."""
    events_in(tmp_path)
    sinks = [
        TensorBoardSink(tmp_path / "events"),
        MLflowSink(),
        PrometheusSink(0),
        WebhookSink("https://127.0.0.1:1/", close_timeout=0.01),
    ]
    strategy = VirtualConsistencyStrategy(
        FedAvg(), model=seeded(mlp), input_shape=(3, 4), on_round=sinks
    )
    for each in copied(strategy)._journal._listeners:
        each(report(5))
        each.close()
    for each in sinks:
        each.close()
    [kept] = events_in(tmp_path / "events").Scalars("vdcs/kept")
    assert kept.step == 5


@pytest.mark.parametrize("every", [0, 1.5])
def test_an_upload_comes_after_whole_rounds(every):
    """The error says what is possible."""
    with pytest.raises(InvalidArgumentError, match="audit_log_every"):
        MLflowSink(audit_log_every=every)


@pytest.mark.parametrize("max_clients", [-1, 1.5, True])
def test_a_limit_is_a_count(max_clients):
    """The error says what is possible."""
    with pytest.raises(InvalidArgumentError, match="max_clients"):
        MLflowSink(max_clients=max_clients)


@pytest.mark.parametrize(
    ("build", "module", "extra"),
    [
        (lambda: TensorBoardSink("."), "torch.utils.tensorboard", "tensorboard"),
        (MLflowSink, "mlflow", "mlflow"),
        (PrometheusSink, "prometheus_client", "prometheus"),
    ],
)
def test_what_is_missing_is_named(monkeypatch, build, module, extra):
    """The error says which extra to install."""
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"flwr-vdcs\[{extra}\]"):
        build()
