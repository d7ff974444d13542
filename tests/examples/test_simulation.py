"""The examples: attacks by hand, real simulations with Ray, and bundles."""

import ast
import json
import subprocess
import sys
import time
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import compare
import psutil
import pytest
import torch
from comparison import federation, picture, results
from flwr.app import ArrayRecord
from quickstart import attacks, data, model
from rich.progress import Progress

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
QUICKSTART, LEGACY = EXAMPLES / "quickstart", EXAMPLES / "legacy"

NUM_ROUNDS = 2
RAY_DID_NOT_START = "in start_head_processes"
"""In Ray's traceback when its own server is too slow to start, before any round."""
NUM_CLIENTS = 4
Lines = list[dict[str, Any]]


# --- attacks, by hand -----------------------------------------------------------------


def attack_by_hand(name: str) -> torch.Tensor:
    """Attack two numbers that were trained from (1, 1) to (3, -1)."""
    trained, received = torch.tensor([3.0, -1.0]), torch.tensor([1.0, 1.0])
    generator = torch.Generator().manual_seed(7)
    sent = attacks.find_attack(name)({"w": trained}, {"w": received}, generator)
    return sent["w"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("none", [3.0, -1.0]),
        ("targeted", [3.0 + 10 * 2.0, -1.0 + 10 * -2.0]),
        ("sign-flip", [1.0 - 2.0, 1.0 + 2.0]),
    ],
)
def test_attack_has_its_closed_form(name, expected):
    """From 1 to 3 is +2 and from 1 to -1 is -2: boosted tenfold, or reversed."""
    assert attack_by_hand(name).tolist() == expected


def test_untargeted_attack_is_scaled_noise_minus_the_received_model():
    """Undoing the scale and the subtraction gives back the standard normal draw."""
    noise = torch.randn(2, generator=torch.Generator().manual_seed(7))
    torch.testing.assert_close(attack_by_hand("untargeted") / 10 + 1.0, noise)


def test_unknown_attack_names_the_known_ones():
    """A typing error is answered with everything that could have been meant."""
    with pytest.raises(ValueError, match=r"'foo'.* 'none', 'untargeted', "):
        attacks.find_attack("foo")


@pytest.mark.parametrize(
    ("attack", "fraction", "expected"),
    [("targeted", 0.3, 3), ("targeted", 0.29, 3), ("sign-flip", 0, 0), ("none", 1, 0)],
)
def test_number_of_poisoned_clients_is_rounded(attack, fraction, expected):
    """Of ten clients 0.3 and 0.29 are three; without an attack nobody is poisoned."""
    assert attacks.count_poisoned(attack, fraction, num_partitions=10) == expected


def test_fraction_must_be_a_fraction():
    """More than all clients cannot be poisoned."""
    with pytest.raises(ValueError, match=r"from 0 to 1, got 1\.5"):
        attacks.count_poisoned("targeted", 1.5, num_partitions=10)


@pytest.fixture(scope="module")
def states():
    """Two states of the quickstart's model: as received, and as trained."""
    received, trained = (model.build_model(seed).state_dict() for seed in (0, 1))
    trained["1.running_mean"] += 1
    trained["1.num_batches_tracked"] += 5
    return received, trained


def test_attack_leaves_batch_norm_buffers_as_trained(states):
    """Parameters are attacked; running statistics and counters are sent as they are."""
    received, trained = states
    sent = attacks.attack_arrays(
        attacks.sign_flip,
        trained=ArrayRecord(trained),
        received=ArrayRecord(received),
        generator=torch.Generator(),
    ).to_torch_state_dict()

    assert list(sent) == list(trained)
    for name, value in trained.items():
        is_buffer = name.rpartition(".")[2] in {
            "running_mean",
            "running_var",
            "num_batches_tracked",
        }
        expected = value if is_buffer else 2 * received[name] - value
        torch.testing.assert_close(sent[name], expected)


@pytest.mark.parametrize("partition_id", range(4))
def test_mod_attacks_the_first_partitions_only(states, partition_id):
    """With half of four clients poisoned, those are partitions 0 and 1."""
    received, trained = (ArrayRecord(state) for state in states)
    run = {"attack": "targeted", "fraction-malicious": 0.5, "seed": 0}
    node = {"partition-id": partition_id, "num-partitions": 4}
    context = SimpleNamespace(run_config=run, node_config=node)
    reply = SimpleNamespace(content={"arrays": trained}, has_error=lambda: False)
    message = SimpleNamespace(
        content={"arrays": received, "config": {"server-round": 1}}
    )

    sent = attacks.poison(message, context, lambda _msg, _ctxt: reply)

    assert (sent.content["arrays"] is not trained) == (partition_id < 2)


# --- the task -------------------------------------------------------------------------


def test_partitions_share_the_training_images_and_never_the_test_images():
    """Ten equal parts and the held-out images make up all 1797 digits."""
    sizes = [len(load_partition(part).dataset) for part in range(10)]
    assert max(sizes) - min(sizes) <= 1
    assert sum(sizes) + len(data.load_test(64, seed=0).dataset) == 1797


def test_images_have_the_input_shape_and_depend_on_the_seeds_alone():
    """The same seed gives the same first batch, with values in [-1, 1]."""
    (images, labels), (again, labels_again) = (
        next(iter(load_partition(3))) for _ in range(2)
    )
    assert images.shape == (32, *data.INPUT_SHAPE)
    assert (images.min(), images.max()) == (-1, 1)
    assert torch.equal(images, again)
    assert torch.equal(labels, labels_again)


def load_partition(partition_id):
    """Load one of ten partitions, always in the same order."""
    return data.load_partition(
        partition_id, 10, batch_size=32, seed=0, order=data.make_generator(0, 1)
    )


# --- the comparison -------------------------------------------------------------------


@pytest.fixture
def rounds():
    """Two rounds in which client 0, poisoned, was dropped, then quarantined."""
    verdicts = [{}, {0: "dropped", 1: "kept"}, {0: "quarantined", 1: "kept"}]
    return [
        results.Round(number, 0.5, 1.0, verdict, frozenset({0} & verdict.keys()))
        for number, verdict in enumerate(verdicts)
    ]


def test_half_written_line_is_left_for_later(tmp_path):
    """A line without its end is not read yet, and a missing file has no lines."""
    line = {"round": 0, "accuracy": 0.1, "loss": None, "decisions": []}
    path = tmp_path / "results.jsonl"
    assert results.read_rounds(path) == []
    path.write_text(json.dumps(line) + "\n" + json.dumps(line)[:9])
    assert [each.number for each in results.read_rounds(path)] == [0]


def test_verdicts_are_counted_by_client(rounds):
    """Client 0 was dropped once and quarantined once, client 1 kept twice."""
    counts = results.count_verdicts(rounds)
    assert counts == {0: {"dropped": 1, "quarantined": 1}, 1: {"kept": 2}}
    assert results.find_poisoned(rounds) == {0}


def test_updates_that_were_left_out_are_counted(rounds):
    """Client 0, poisoned, was left out twice, client 1 never."""
    assert results.count_left_out(rounds, poisoned=True) == (2, 2)
    assert results.count_left_out(rounds, poisoned=False) == (0, 2)


def test_table_says_of_how_many_updates_how_many_were_left_out(rounds):
    """A run without the plugin has an accuracy only."""
    table = compare.summarise_runs("title", {"plain": rounds[:1], "checked": rounds})
    cells = zip(*(column.cells for column in table.columns), strict=True)
    assert list(cells) == [
        ("plain", "50.0%", "", ""),
        ("checked", "50.0%", "2 of 2", "0 of 2"),
    ]


def test_only_the_published_score_is_told_how_many_are_poisoned():
    """The other runs leave scoring and M to the app's defaults."""
    runs = compare.plan(compare.AttackName.TARGETED, 0.3, rounds=2, seed=0)
    told = {name: run.get("num-malicious") for name, run in runs.items()}
    assert told.pop(compare.PUBLISHED) == 3
    assert set(told.values()) == {None}
    assert [run["attack"] for run in runs.values()] == ["none", *["targeted"] * 3]
    assert [run["plugin"] for run in runs.values()] == [False, False, True, True]


def test_csv_holds_what_the_picture_shows(rounds, tmp_path):
    """Every run and round has a line, every client a column."""
    results.write_csv(tmp_path / "q.csv", {"plain": rounds[:1], "checked": rounds})
    header, *lines = (tmp_path / "q.csv").read_text().splitlines()
    assert header == "run,round,accuracy,loss,client-0-poisoned,client-1-honest"
    assert lines[0] == "plain,0,0.5,1.0,,"
    assert lines[-1] == "checked,2,0.5,1.0,quarantined,kept"


def test_picture_is_drawn(rounds, tmp_path):
    """Four runs make a PNG file."""
    runs = dict.fromkeys(("one", "two", "three", "four"), rounds)
    picture.draw(tmp_path / "q.png", "title", runs, checked="four")
    assert (tmp_path / "q.png").read_bytes().startswith(b"\x89PNG")


def test_problems_that_the_exit_code_hides_are_found(rounds):
    """Too few rounds, error replies and unjudged clients are problems."""
    assert "2 of 3 rounds" in compare.find_problem(rounds, "", 3, checked=False)
    log = "aggregate_train: Received 1 results and 9 failures"
    assert "9 times" in compare.find_problem(rounds, log, 2, checked=False)
    assert "only 2 of 10" in compare.find_problem(rounds, "", 2, checked=True)
    assert not compare.find_problem(rounds, "and 0 failures", 2, checked=False)


# --- the apps -------------------------------------------------------------------------


def read_run_config(app: Path) -> dict[str, Any]:
    """Read the defaults of an app's run config."""
    pyproject = tomllib.loads((app / "pyproject.toml").read_text())
    return pyproject["tool"]["flwr"]["app"]["config"]


def read_subscripts(app: Path) -> set[Any]:
    """Collect every constant that the app's code puts into square brackets."""
    trees = [ast.parse(path.read_text()) for path in app.rglob("*.py")]
    return {
        node.slice.value
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant)
    }


@pytest.mark.parametrize("app", [QUICKSTART, LEGACY], ids=lambda app: app.name)
def test_every_run_config_key_is_read(app):
    """No setting is there for show."""
    assert read_run_config(app).keys() <= read_subscripts(app)


@pytest.mark.parametrize("app", [QUICKSTART, LEGACY], ids=lambda app: app.name)
def test_app_builds_into_a_bundle_that_can_be_published(app, tmp_path):
    """Flower bundles the app without a warning, and the bundle keeps its rules."""
    environment = federation.isolated_environment(tmp_path / "home")
    flwr = Path(sys.executable).with_name("flwr")
    command = [str(flwr), "build", "--app", str(app)]
    built = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert built.returncode == 0, built.stdout + built.stderr
    assert "missing" not in built.stdout

    (bundle,) = tmp_path.glob("flwr-vdcs.*.fab")
    with zipfile.ZipFile(bundle) as archive:
        members = archive.infolist()
    assert {"pyproject.toml", "README.md", "LICENSE"} <= {m.filename for m in members}
    assert len(members) <= 1000
    assert max(member.file_size for member in members) <= 1_000_000
    assert bundle.stat().st_size <= 10_000_000


# --- simulations ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def flower(tmp_path_factory) -> Iterator[federation.Flower]:
    """Lend a Flower with a home and ports of its own, and stop it at the end."""
    home = tmp_path_factory.mktemp("flower")
    flower = federation.Flower(home, federation.isolated_environment(home))
    yield flower
    flower.stop()


def simulate(flower: federation.Flower, app: Path, key: str, **config) -> Lines:
    """Run an app for two rounds and return the lines of the file it wrote."""
    written = flower.home / f"{app.name}.jsonl"
    log = flower.home / f"{app.name}.txt"
    config |= {"num-server-rounds": NUM_ROUNDS, key: str(written)}
    process = flower.run(app, NUM_CLIENTS, config, log)
    assert process.wait(timeout=180) == 0, log.read_text()
    if RAY_DID_NOT_START in log.read_text():
        process = flower.run(app, NUM_CLIENTS, config, log)
        assert process.wait(timeout=180) == 0, log.read_text()
    assert "and 0 failures" in log.read_text()
    assert federation.count_error_replies(log.read_text()) == 0
    assert written.exists(), log.read_text()
    return [json.loads(line) for line in written.read_text().splitlines()]


@pytest.fixture(scope="module")
def quickstart_lines(flower) -> Lines:
    """Run the quickstart with one of four clients poisoned, and tell nobody."""
    config = {"attack": "untargeted", "fraction-malicious": 0.25}
    return simulate(flower, QUICKSTART, "results", **config)


@pytest.fixture(scope="module")
def legacy_lines(flower) -> Lines:
    """Run the legacy app with partition 0 poisoned; the lines are the plugin's log."""
    return simulate(flower, LEGACY, "audit-log", **{"poisoned-partition": 0})


@pytest.mark.simulation
def test_quickstart_tests_the_model_before_and_after_every_round(quickstart_lines):
    """There is a line for the untrained model and one a round, with an accuracy."""
    assert [line["round"] for line in quickstart_lines] == [0, 1, 2]
    assert all(0 <= line["accuracy"] <= 1 for line in quickstart_lines)
    assert all(line["seconds"] > 0 for line in quickstart_lines)


@pytest.mark.simulation
def test_quickstart_judges_every_client_once_a_round(quickstart_lines):
    """Each partition has a verdict, and partition 0 is listed as poisoned."""
    for line in quickstart_lines[1:]:
        poisoned = {d["partition"]: d["poisoned"] for d in line["decisions"]}
        assert poisoned == {0: True, 1: False, 2: False, 3: False}
        assert len(line["decisions"]) == NUM_CLIENTS


@pytest.mark.simulation
def test_quickstart_drops_the_poisoned_client_and_keeps_the_others(quickstart_lines):
    """The app's defaults protect, and nobody says how many are poisoned."""
    for line in quickstart_lines[1:]:
        verdicts = {d["partition"]: d["verdict"] for d in line["decisions"]}
        assert verdicts == {0: "dropped", 1: "kept", 2: "kept", 3: "kept"}


@pytest.mark.simulation
def test_legacy_app_judges_every_client_once_a_round(legacy_lines):
    """Two rounds, four clients each, of whom one is dropped."""
    assert [line["server_round"] for line in legacy_lines] == [1, 2]
    for line in legacy_lines:
        verdicts = [decision["verdict"] for decision in line["decisions"]]
        assert sorted(verdicts) == ["dropped", *["kept"] * (NUM_CLIENTS - 1)]


@pytest.mark.simulation
def test_legacy_app_drops_the_same_client_in_both_rounds(legacy_lines):
    """The noise is the odd one out, whatever the clients' node ids."""
    dropped = [
        decision["client_id"]
        for line in legacy_lines
        for decision in line["decisions"]
        if decision["verdict"] == "dropped"
    ]
    assert len(set(dropped)) == 1


@pytest.mark.simulation
def test_failed_simulation_is_reported_with_the_end_of_its_log(flower):
    """An attack that does not exist ends the run, and the error says why.

    How many lines Flower writes after the reason depends on how clients take turns, and
    older versions may end their log before the reason: then another run has it.
    """
    reason, logs = "unknown attack 'foo': use one of 'none'", []
    while len(logs) < 3 and not any(reason in log for log in logs):
        progress = Progress(disable=True)
        bar = compare.Bar(progress, progress.add_task("-"), "broken", 0, NUM_ROUNDS)
        with pytest.raises(compare.SimulationError) as caught:
            compare.run_one(flower, {"attack": "foo", "plugin": False}, bar)
        assert "0 of 2 rounds" in str(caught.value)
        assert str(caught.value).endswith(caught.value.log.splitlines()[-1])
        logs.append(caught.value.log)
    assert any(reason in log for log in logs)


@pytest.mark.simulation
def test_stopping_leaves_no_process_behind():
    """The SuperLink that ``flwr run`` starts, and all its children, end with it."""
    with federation.isolated_flower() as flower:
        flower.run(LEGACY, NUM_CLIENTS, {}, flower.home / "log.txt")
        family = wait_for_superlink(flower)
    assert not any(process.is_running() for process in family)


def wait_for_superlink(flower: federation.Flower) -> list[psutil.Process]:
    """Wait for the SuperLink and return it with all its children."""
    deadline = time.monotonic() + 60
    while not (superlinks := flower.find_superlinks()):
        assert time.monotonic() < deadline, "no SuperLink was started"
        time.sleep(0.2)
    return [*superlinks, *superlinks[0].children(recursive=True)]
