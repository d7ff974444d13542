"""The state file: whole or an error, never a silent start from nothing."""

import json
import signal
import subprocess
import sys

import pytest

from flwr_vdcs.errors import StateError
from flwr_vdcs.records.state_file import FORMAT, StateFile

STATE = {"num_rounds": 3, "clients": {"7": {"evidence": 1.5, "parole": None}}}


@pytest.fixture
def file(tmp_path) -> StateFile:
    """Write a state."""
    file = StateFile(tmp_path / "state.json")
    file.write(STATE)
    return file


def test_it_comes_back_as_it_was(file):
    """Also by another object."""
    assert StateFile(file.path).read() == STATE


def test_no_file_is_no_state(tmp_path):
    """The first start has nothing to go on from."""
    assert StateFile(tmp_path / "state.json").read() is None


def test_a_new_state_replaces_the_old(file):
    """One file with one state, and nothing beside it."""
    file.write({**STATE, "num_rounds": 4})
    assert file.read() == {**STATE, "num_rounds": 4}
    assert list(file.path.parent.iterdir()) == [file.path]


def test_a_place_that_cannot_be_written_is_an_error(tmp_path):
    """At construction, before a round depends on it; nothing is left behind."""
    (tmp_path / "state.json.new").mkdir()
    with pytest.raises(StateError, match=r"state\.json.*no file can be written there"):
        StateFile(tmp_path / "state.json")
    StateFile(tmp_path / "other.json")
    assert [path.name for path in tmp_path.iterdir()] == ["state.json.new"]


def test_a_file_keeps_its_mode(file):
    """Whoever made it private wants it private."""
    file.path.chmod(0o600)
    file.write(STATE)
    assert file.path.stat().st_mode & 0o777 == 0o600


def test_a_link_stays_one(file, tmp_path):
    """What it leads to is replaced."""
    link = tmp_path / "link.json"
    link.symlink_to(file.path)
    StateFile(link).write({**STATE, "num_rounds": 4})
    assert link.is_symlink()
    assert file.read() == {**STATE, "num_rounds": 4}


@pytest.mark.parametrize("length", [0, 1, 20, -1])
def test_a_file_that_is_cut_off_is_an_error(file, length):
    """Wherever it ends; the message names it and says what to do."""
    file.path.write_bytes(file.path.read_bytes()[:length])
    with pytest.raises(StateError, match=r"state\.json.*cut off.*backup, or move it"):
        file.read()


def test_a_changed_value_is_an_error(file):
    """The checksum tells."""
    content = file.path.read_text().replace("1.5", "9.5")
    file.path.write_text(content)
    with pytest.raises(StateError, match="checksum"):
        file.read()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("[]", "no state of flwr-vdcs"),
        ('{"weights": 1}', "no state of flwr-vdcs"),
        ('{"format": "flwr-vdcs state 99"}', "expected format 'flwr-vdcs state 1'"),
        (json.dumps({"format": FORMAT}), "checksum"),
        (json.dumps({"format": FORMAT, "state": []}), "checksum"),
        (json.dumps({"format": FORMAT, "state": {"a": float("nan")}}), "no JSON"),
        (json.dumps({"format": FORMAT, "state": {"a": float("inf")}}), "no JSON"),
        ('{"state": {"a": 1e999}}', "no JSON"),
    ],
)
def test_a_foreign_file_is_an_error(file, content, problem):
    """JSON of another kind, or of another version."""
    file.path.write_text(content)
    with pytest.raises(StateError, match=problem):
        file.read()


def test_a_folder_is_an_error(tmp_path):
    """It cannot be read."""
    with pytest.raises(StateError, match="directory"):
        StateFile(tmp_path).read()


def test_a_missing_folder_is_an_error_at_once(tmp_path):
    """Before any round is run."""
    with pytest.raises(StateError, match="there is no folder"):
        StateFile(tmp_path / "nowhere" / "state.json")


def test_a_kill_leaves_a_whole_state(file):
    """Killed again and again while writing, the file is one of those written."""
    code = (
        "import sys, itertools; from flwr_vdcs.records.state_file import StateFile;"
        "file = StateFile(sys.argv[1]);"
        "print('ready', flush=True);"
        "[file.write({'num_rounds': n, 'clients': {}}) for n in itertools.count()]"
    )
    for _ in range(3):
        command = [sys.executable, "-c", code, str(file.path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            process.stdout.read(6)
            process.send_signal(signal.SIGKILL)
        assert file.read().keys() == STATE.keys()
