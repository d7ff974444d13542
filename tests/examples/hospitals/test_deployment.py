"""The real launcher: SuperLink, SuperNodes, TLS and registration on this machine."""

import os
import signal
import subprocess
import sys
import time

import pytest
from deployment.federation import Federation
from deployment.layout import Layout
from deployment.lines import read_lines
from deployment.program import find_marked, runs
from deployment.run import SERVER_APP, SUPERLINK
from flwr.serverapp import Grid

from flwr_vdcs.verification import verify
from tests.examples.hospitals.in_process import EXAMPLE

LAUNCHER = EXAMPLE / "federation.py"
POISONED = "hospital-3"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(
        not hasattr(Grid, "get_nodes"), reason="Flower before 1.38 knows no node names"
    ),
]


def launch(folder):
    """Start the launcher, as from a terminal."""
    with (folder.parent / "launcher.log").open("wb") as output:
        return subprocess.Popen(
            [sys.executable, str(LAUNCHER), "--folder", str(folder)],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(os.environ) | {"COLUMNS": "120"},
        )


def processes(folder):
    """Find the processes of the federation in a folder."""
    logs = Layout(folder.resolve()).logs
    return find_marked(lambda log: log.parent == logs)


def is_running(command, folder):
    """Tell whether a process of the federation runs a command."""
    return any(runs(process, command) for process in processes(folder))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Run the launcher to its end and return the folder that it worked in."""
    folder = tmp_path_factory.mktemp("deployment") / "federation"
    launcher = launch(folder)
    assert launcher.wait(timeout=1000) == 0, said(folder)
    return folder


def said(folder):
    """Read what the launcher printed."""
    return (folder.parent / "launcher.log").read_text()


def test_three_rounds_are_tested(finished):
    """The model is tested before training and after each round, and is good at last."""
    lines = read_lines(finished / "output" / "rounds.jsonl")
    assert [line["round"] for line in lines] == [0, 1, 2, 3]
    assert lines[-1]["accuracy"] > 0.8


def test_poisoned_hospital_is_dropped_by_name_and_the_others_are_kept(finished):
    """The audit log tells who was dropped in every round."""
    lines = read_lines(finished / "output" / "audit.jsonl")
    assert len(lines) == 3
    for line in lines:
        verdicts = {d["name"]: d["verdict"] for d in line["decisions"]}
        assert verdicts == {
            f"hospital-{number}": "dropped" if number == 3 else "kept"
            for number in (1, 2, 3, 4)
        }


def test_audit_is_printed_with_names(finished):
    """Three lines of the table name the poisoned hospital and its verdict."""
    lines = [line for line in said(finished).splitlines() if POISONED in line]
    assert len(lines) == 3
    assert all("dropped" in line for line in lines)


def test_audit_log_is_one_whole_chain(finished):
    """No line was changed, lost or torn."""
    verification = verify([finished / "output" / "audit.jsonl"])
    assert (verification.num_lines, verification.problem) == (3, "")


def test_state_and_model_are_there_for_a_restart(finished):
    """What a restart needs was written, and nothing half."""
    written = {path.name for path in (finished / "output").iterdir()}
    assert {"model.pt", "state.json"} <= written
    assert not [name for name in written if name.endswith((".part", ".new"))]


def test_nothing_runs_when_the_launcher_has_ended(finished):
    """All processes have ended with it."""
    assert processes(finished) == []


def test_keys_are_private(finished):
    """No private key can be read by others, and nobody else may enter the folder."""
    assert finished.stat().st_mode & 0o077 == 0
    keys = [finished / "keys" / f"hospital-{number}" for number in (1, 2, 3, 4)]
    keys += [finished / "certificates" / name for name in ("ca.key", "server.key")]
    assert {key.stat().st_mode & 0o777 for key in keys} == {0o600}


@pytest.mark.parametrize(
    ("number", "running"),
    [(signal.SIGTERM, SUPERLINK), (signal.SIGINT, SERVER_APP)],
    ids=["while it starts", "in the middle of a run"],
)
def test_nothing_runs_when_the_launcher_is_ended(tmp_path, number, running):
    """A request to end leaves no process behind, whenever it comes."""
    folder = tmp_path / "federation"
    launcher = launch(folder)
    try:
        deadline = time.monotonic() + 600
        while not is_running(running, folder):
            assert launcher.poll() is None, said(folder)
            assert time.monotonic() < deadline, said(folder)
            time.sleep(0.5)
        launcher.send_signal(number)
        assert launcher.wait(timeout=120) != 0
        assert processes(folder) == []
    finally:
        launcher.kill()
        launcher.wait()


def test_stranger_is_refused(tmp_path):
    """A SuperNode whose key is not registered ends, and the registered one stays."""
    with Federation(tmp_path / "federation", hospitals=1) as federation:
        partition = "partition-id=0 num-partitions=1"
        stranger = federation.add("stranger", partition, is_registered=False)
        stranger.process.wait(timeout=180)
        assert stranger.process.returncode != 0
        assert "Failed to activate SuperNode" in stranger.log.read_text()
        assert federation.registry.online().keys() == {"hospital-1"}
        assert federation.supernodes["hospital-1"].is_running
    assert federation.processes() == []
