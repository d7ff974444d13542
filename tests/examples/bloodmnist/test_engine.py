"""The engine: whole runs in one process, and the same runs by Flower with Ray."""

import ast
import json
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from bloodmnist import client_app, defense, engine
from bloodmnist.baselines import BASELINES
from bloodmnist.data import load_dataset
from bloodmnist.defense import Federation, build_strategy
from bloodmnist.journal import Journal
from bloodmnist.memory import recall
from bloodmnist.model import build_model
from bloodmnist.receipts import ReceiptStrategy
from bloodmnist.run_config import with_defaults
from comparison import federation
from flwr.app import ArrayRecord, ConfigRecord, Error, MetricRecord, RecordDict

from flwr_vdcs import Decision, RoundReport, VirtualConsistencyStrategy
from tests.federation import content, reply, request

APP = Path(engine.__file__).resolve().parents[1]
NUM_CLIENTS, NUM_ROUNDS = 4, 2
NUM_IMAGES = {"train": 300, "val": 20, "test": 40}
SMALL = {
    "num-server-rounds": NUM_ROUNDS,
    "images-min": 16,
    "images-max": 24,
    "batch-size": 16,
    "num-virtual-samples": 8,
    "device": "cpu",
}
ATTACKED = {
    "attack": "sign-flip",
    "fraction-malicious": 0.25,
    "defense": "vdcs",
    "labels": "flipped",
}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Write some of the digits into a file, and give settings for a short run."""
    digits, arrays = load_dataset("digits").train, {}
    first = 0
    for part, num_images in NUM_IMAGES.items():
        chosen = digits.select(torch.arange(first, first + num_images))
        arrays[f"{part}_images"] = chosen.pixels.permute(0, 2, 3, 1).numpy()
        arrays[f"{part}_labels"] = chosen.labels[:, None].numpy()
        first += num_images
    path = tmp_path_factory.mktemp("data") / "digits.npz"
    np.savez(path, **arrays)
    return {**SMALL, "data-path": str(path)}


@pytest.fixture
def run(small, tmp_path):
    """Give a function that runs in this process and reads the results file."""

    def run_small(num_clients=NUM_CLIENTS, **settings):
        settings = {key.replace("_", "-"): value for key, value in settings.items()}
        path = tmp_path / "r.jsonl"
        engine.run_in_process({**small, **settings, "results": str(path)}, num_clients)
        return read(path)

    return run_small


def read(path):
    """Read a results file, without what differs from run to run."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        assert line.pop("seconds") > 0
        for decision in line["decisions"]:
            del decision["client"]
    return lines


# --- whole runs -----------------------------------------------------------------------


def test_results_start_with_the_untrained_model(run):
    """There is a line for round 0 and one for every round, and training helps."""
    lines = run(images_min=70, images_max=75, local_epochs=2)
    assert [line["round"] for line in lines] == [0, 1, 2]
    assert lines[-1]["loss"] < lines[0]["loss"]
    assert lines[-1]["accuracy"] > lines[0]["accuracy"]
    assert not any(line["decisions"] for line in lines)


def test_same_seed_same_run(run):
    """Attack, plugin and training draw nothing that the seed does not decide."""
    first, again, other = (
        run(**ATTACKED, seed=seed, num_server_rounds=1) for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


def test_a_run_is_the_same_with_a_store_of_trainings(run, tmp_path):
    """The first fills it, the second reads, an attack on clean labels reads too."""
    plain, poisoned = run(), run(attack="sign-flip", fraction_malicious=0.25)
    store = tmp_path / "trainings"
    assert run(trainings=str(store)) == plain
    written = {path.name for path in store.iterdir()}
    assert len(written) == NUM_CLIENTS * NUM_ROUNDS
    assert run(trainings=str(store)) == plain
    assert {path.name for path in store.iterdir()} == written
    attacked = run(trainings=str(store), attack="sign-flip", fraction_malicious=0.25)
    assert attacked == poisoned
    assert len(list(store.iterdir())) == len(written) + NUM_CLIENTS


def test_plugin_judges_every_client_once_a_round(run):
    """As many are dropped as are poisoned: one of four, and partition 0 is."""
    for line in run(**ATTACKED)[1:]:
        decisions = line["decisions"]
        assert [d["partition"] for d in decisions] == [0, 1, 2, 3]
        assert [d["poisoned"] for d in decisions] == [True, False, False, False]
        assert [d["verdict"] for d in decisions].count("dropped") == 1


def test_assumed_number_of_attackers_can_differ_from_the_truth(run):
    """Nobody is poisoned, one is dropped: what the plugin costs without an attack."""
    settings = {"defense": "vdcs", "num-malicious": 1}
    for line in run(**settings)[1:]:
        verdicts = [d["verdict"] for d in line["decisions"]]
        assert sorted(verdicts) == ["dropped", "kept", "kept", "kept"]


@pytest.mark.parametrize(
    "algorithm", ["fedprox", "feddyn", "fedrs", "fedsam", "fedspeed"]
)
def test_every_algorithm_runs_behind_the_plugin(algorithm, run):
    """Two rounds with memory, receipts and a dropped client end with a finite loss."""
    lines = run(num_clients=3, algorithm=algorithm, **ATTACKED)
    assert len(lines) == 3
    assert all(line["loss"] is not None for line in lines)


@pytest.mark.parametrize("name", ["fang-union", "median"])
def test_baseline_takes_the_place_of_averaging(name, run):
    """A rule with and one without validation images give another model than FedAvg."""
    plain = run(num_server_rounds=1)
    robust = run(num_server_rounds=1, defense=name, num_malicious=1)
    assert plain[0] == robust[0]
    assert plain[1]["loss"] != robust[1]["loss"]


def test_backdoor_s_success_is_measured(run):
    """With a backdoor the results say how many stamped images it takes."""
    settings = {"attack": "backdoor", "fraction-malicious": 0.25}
    for line in run(**settings):
        assert 0 <= line["attack-success"] <= 1


def test_module_runs_a_config_file(small, tmp_path):
    """The command reads JSON, runs, and ends with 0."""
    results, config = tmp_path / "r.jsonl", tmp_path / "c.json"
    config.write_text(
        json.dumps({**small, "num-server-rounds": 1, "results": str(results)})
    )
    ended = run_module(config)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert len(read(results)) == 2


def test_module_says_what_is_wrong(tmp_path):
    """An unknown setting ends the command with an error that names it, last."""
    config = tmp_path / "c.json"
    config.write_text(json.dumps({"foo": 1}))
    ended = run_module(config)
    assert ended.returncode != 0
    assert "unknown settings ['foo']" in ended.stderr.splitlines()[-1]


def run_module(config):
    """Run the engine's command."""
    command = [sys.executable, "-m", "bloodmnist.engine", "--config", str(config)]
    command += ["--num-supernodes", "3"]
    return subprocess.run(
        command, cwd=APP, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"algorithm": "foo"}, "unknown algorithm 'foo'"),
        ({"defense": "foo"}, "unknown defense 'foo': use one of.*'vdcs', 'krum'"),
        ({"attack": "foo"}, "unknown attack 'foo'"),
        ({"algorithm": "feddyn", "defense": "krum"}, "server half of its own"),
        ({"device": "foo"}, "'foo'"),
    ],
)
def test_impossible_run_ends_before_the_first_round(settings, message, run):
    """What cannot be run is said at once, with what can."""
    with pytest.raises(ValueError, match=message):
        run(**settings)


def test_two_clients_are_too_few(run):
    """Two that differ cannot be judged."""
    with pytest.raises(ValueError, match="at least 3 clients, got 2"):
        run(num_clients=2)


# --- memory in a whole run ------------------------------------------------------------


@pytest.fixture
def witnesses(monkeypatch):
    """Keep what a run makes: the contexts of its clients, and FedDyn's server half."""
    made = {}

    class Grid(engine.ProcessGrid):
        def __init__(self, app, contexts):
            made["contexts"] = contexts
            super().__init__(app, contexts)

    class FedDyn(defense.FedDyn):
        def __init__(self, **options):
            made["server"] = self
            super().__init__(**options)

    monkeypatch.setattr(engine, "ProcessGrid", Grid)
    monkeypatch.setattr(defense, "FedDyn", FedDyn)
    return made


def test_dropped_clients_do_not_desynchronise_feddyn(witnesses, run):
    """The server's h stays the mean of the clients', of whom one is dropped a round."""
    lines = run(
        num_server_rounds=3,
        algorithm="feddyn",
        defense="vdcs",
        num_malicious=1,
    )
    used = dict.fromkeys(range(NUM_CLIENTS), 0)
    for line in lines:
        for decision in line["decisions"]:
            if decision["verdict"] == "kept":
                used[decision["partition"]] = line["round"]
    assert len(set(used.values())) > 1 or min(used.values()) < 3

    memories = [
        recall(context.state, used[context.node_config["partition-id"]])
        for context in witnesses["contexts"].values()
    ]
    for name, correction in witnesses["server"].correction.items():
        held = [m["correction"][name].numpy() for m in memories if m]
        mean = np.sum(held, axis=0, dtype=np.float64) / NUM_CLIENTS
        np.testing.assert_allclose(correction, mean, atol=1e-6)


class Stub:
    """A strategy that uses every reply, or keeps the model, and notes their order."""

    def __init__(self, reports=(), *, keeps_model=False):
        self.reports = list(reports)
        self.keeps_model = keeps_model
        self.order = []

    def configure_train(self, _round, arrays, config, _grid):
        """Send the same content to nodes 7, 8 and 9, as Flower does."""
        shared = RecordDict({"arrays": arrays, "config": config})
        return [request(node, shared) for node in (7, 8, 9)]

    def aggregate_train(self, _round, replies):
        """Note who replied."""
        self.order = [each.metadata.src_node_id for each in replies]
        return (None if self.keeps_model else ArrayRecord()), MetricRecord()


PARTITIONS = {7: 1, 8: 0, 9: 2}


def receipts_after(stub, replying=(7, 8, 9)):
    """Let a round pass and read what the next one tells every node."""
    strategy = ReceiptStrategy(stub, PARTITIONS)
    strategy.aggregate_train(1, [reply(node, content()) for node in replying])
    messages = strategy.configure_train(
        2, ArrayRecord(), ConfigRecord({"server-round": 2}), None
    )
    assert all(m.content["config"]["server-round"] == 2 for m in messages)
    return {m.metadata.dst_node_id: m.content["config"]["used-round"] for m in messages}


def test_replies_are_sorted_by_partition():
    """Whatever the node ids and whoever was first, partition 0 comes first."""
    stub = Stub()
    receipts_after(stub, replying=(9, 7, 8))
    assert stub.order == [8, 7, 9]


def test_receipts_are_each_client_s_own():
    """Node 8 was dropped and node 9 absent: only node 7 hears that round 1 used it."""
    decisions = (Decision("7", "kept"), Decision("8", "dropped"))
    report = RoundReport(1, decisions, 1, "paper", "cpu", 0, 0.0)
    assert receipts_after(Stub([report]), replying=(7, 8)) == {7: 1, 8: 0, 9: 0}


def test_without_reports_all_replies_count_as_used():
    """A strategy without the plugin uses what it is given."""
    assert receipts_after(Stub(), replying=(7, 8)) == {7: 1, 8: 1, 9: 0}


def test_round_without_a_model_used_nobody():
    """Where the model is kept, no update went into it."""
    assert set(receipts_after(Stub(keeps_model=True)).values()) == {0}


def test_failed_client_ends_the_run():
    """Flower would go on with the others, and the results would not show it."""
    strategy = ReceiptStrategy(Stub(), PARTITIONS)
    replies = [reply(7, content()), reply(8, Error(0, "out of memory"))]
    with pytest.raises(RuntimeError, match="1 clients failed: out of memory"):
        strategy.aggregate_train(1, replies)


# --- strategies and journal -----------------------------------------------------------


def build(**settings):
    """Build a strategy for ten clients of whom three are poisoned."""
    config = with_defaults({k.replace("_", "-"): v for k, v in settings.items()})
    model = build_model(0)
    return build_strategy(Federation(config, model, 10, 3, lambda _state: (0.0, 0.0)))


@pytest.mark.parametrize("name", [*BASELINES])
def test_every_baseline_can_be_built(name):
    """Each is told the true number of attackers, or the one assumed."""
    assert build(defense=name).num_malicious == 3
    assert build(defense=name, num_malicious=1).num_malicious == 1


def test_plugin_wraps_feddyn():
    """With both, FedDyn's server half is inside, for ten clients."""
    strategy = build(defense="vdcs", algorithm="feddyn", alpha_dyn=0.3)
    assert isinstance(strategy, VirtualConsistencyStrategy)
    assert isinstance(strategy.strategy, defense.FedDyn)
    assert (strategy.strategy.alpha, strategy.strategy.num_clients) == (0.3, 10)


def test_journal_writes_what_json_can_hold(tmp_path):
    """A loss that is not finite becomes null, and a missing file is none."""
    path = tmp_path / "r.jsonl"
    Journal(str(path), "", {}, 0).write(0, {"loss": float("nan"), "accuracy": 0.5}, ())
    line = json.loads(path.read_text())
    assert (line["loss"], line["accuracy"], line["round"]) == (None, 0.5, 0)
    Journal("", "", {}, 0).write(0, {"loss": 1.0}, ())


def test_journal_writes_scalars(tmp_path):
    """With a folder for TensorBoard there are event files in it."""
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
    Journal("", str(tmp_path), {}, 0).write(0, {"loss": 1.0}, ())
    assert list(tmp_path.glob("events*"))


# --- the app --------------------------------------------------------------------------


def test_every_run_config_key_is_read():
    """No setting is there for show."""
    pyproject = tomllib.loads((APP / "pyproject.toml").read_text())
    trees = [ast.parse(path.read_text()) for path in (APP / "bloodmnist").rglob("*.py")]
    read_keys = {
        node.slice.value
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant)
    }
    assert pyproject["tool"]["flwr"]["app"]["config"].keys() <= read_keys


def test_app_builds_into_a_bundle_that_can_be_published(tmp_path):
    """Flower bundles the app without a warning, and the bundle keeps its rules."""
    environment = federation.isolated_environment(tmp_path / "home")
    flwr = Path(sys.executable).with_name("flwr")
    built = subprocess.run(
        [str(flwr), "build", "--app", str(APP)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    assert "missing" not in built.stdout
    (bundle,) = tmp_path.glob("*.fab")
    with zipfile.ZipFile(bundle) as archive:
        names = {member.filename for member in archive.infolist()}
    assert {"pyproject.toml", "README.md", "LICENSE"} <= names
    assert len(names) <= 1000
    assert bundle.stat().st_size <= 10_000_000


@pytest.mark.simulation
def test_flower_s_simulation_gives_the_same_numbers(small, run, tmp_path):
    """Two rounds with Ray, an attack, memory and the plugin: equal in every digit.

    Node ids and the order of replies differ, but replies are sorted by partition, so
    sums are taken in the same order.
    """
    settings = {**small, **ATTACKED, "algorithm": "feddyn"}
    results, log = tmp_path / "simulated.jsonl", tmp_path / "log.txt"
    flower = federation.Flower(tmp_path, federation.isolated_environment(tmp_path))
    try:
        config = {**settings, "results": str(results)}
        process = flower.run(APP, NUM_CLIENTS, config, log)
        assert process.wait(timeout=240) == 0, log.read_text()
    finally:
        flower.stop()
    assert federation.count_error_replies(log.read_text()) == 0
    assert results.exists(), log.read_text()
    assert read(results) == run(**settings)


def test_client_tells_its_partition():
    """Asked, a client answers with its place and nothing else."""
    node = {"partition-id": 2, "num-partitions": 4}
    context = engine._make_context(5, {}, node)
    answer = client_app.app(request(5, RecordDict(), "query"), context)
    assert dict(answer.content["partition"]) == {"partition-id": 2}
