"""The same app in a real simulation, and as a bundle."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from comparison.federation import Flower, count_error_replies, isolated_environment
from flwr.serverapp import Grid

from tests.examples.hospitals.in_process import EXAMPLE, NUM_HOSPITALS

RAY_DID_NOT_START = "in start_head_processes"
"""In Ray's traceback when its own server is too slow to start, before any round."""


@pytest.fixture(scope="module")
def flower(tmp_path_factory):
    """Lend a Flower with a home and ports of its own, and stop it at the end."""
    home = tmp_path_factory.mktemp("flower")
    flower = Flower(home, isolated_environment(home))
    yield flower
    flower.stop()


@pytest.fixture(scope="module")
def output(flower):
    """Simulate two rounds of four honest hospitals and return what was written."""
    if not hasattr(Grid, "get_nodes"):
        pytest.skip("the app needs Flower 1.38, which gives nodes names")
    output, log = flower.home / "output", flower.home / "log.txt"
    config = {"num-server-rounds": 2, "local-epochs": 1, "output": str(output)}
    process = flower.run(EXAMPLE, NUM_HOSPITALS, config, log)
    assert process.wait(timeout=240) == 0, log.read_text()
    if RAY_DID_NOT_START in log.read_text():
        shutil.rmtree(output)  # the model before training has been written
        process = flower.run(EXAMPLE, NUM_HOSPITALS, config, log)
        assert process.wait(timeout=240) == 0, log.read_text()
    assert "and 0 failures" in log.read_text(), log.read_text()
    assert count_error_replies(log.read_text()) == 0
    return output


def read_lines(path):
    """Read JSON Lines."""
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.simulation
@pytest.mark.timeout(600)
def test_simulation_writes_what_a_deployment_does(output):
    """Model, accuracies and state are there."""
    rounds = read_lines(output / "rounds.jsonl")
    assert [line["round"] for line in rounds] == [0, 1, 2]
    assert (output / "model.pt").stat().st_size > 50_000
    assert (output / "state.json").exists()


@pytest.mark.simulation
@pytest.mark.timeout(600)
def test_simulation_judges_every_hospital_once_a_round(output):
    """Nobody attacks, and nobody has to be dropped."""
    for line in read_lines(output / "audit.jsonl"):
        verdicts = [decision["verdict"] for decision in line["decisions"]]
        assert verdicts == ["kept"] * NUM_HOSPITALS


def test_app_builds_into_a_bundle_that_can_be_published(tmp_path):
    """Flower bundles the app without a warning, and the bundle keeps its rules."""
    command = [str(Path(sys.executable).with_name("flwr")), "build"]
    built = subprocess.run(
        [*command, "--app", str(EXAMPLE)],
        cwd=tmp_path,
        env=isolated_environment(tmp_path / "home"),
        capture_output=True,
        text=True,
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
