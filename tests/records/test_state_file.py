"""The state file: whole or an error, never a silent start from nothing."""

import json
import signal
import subprocess
import sys
import time

import pytest
import torch
from torch.testing import assert_close

from flwr_vdcs.errors import StateError
from flwr_vdcs.records.state_file import FORMAT, StateFile

STATE = {"num_rounds": 3, "clients": {"7": {"evidence": 1.5, "parole": None}}}


def names_beside(path):
    """Name the files in a folder, but for the locks."""
    names = (each.name for each in path.parent.iterdir())
    return sorted(name for name in names if not name.endswith(".lock"))


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
    assert names_beside(file.path) == [file.path.name]


def test_a_place_that_cannot_be_written_is_an_error(tmp_path):
    """At construction, before a round depends on it; nothing is left behind."""
    (tmp_path / "state.json.new").mkdir()
    with pytest.raises(StateError, match=r"state\.json.*no file can be written there"):
        StateFile(tmp_path / "state.json")
    StateFile(tmp_path / "other.json")
    assert names_beside(tmp_path / "other.json") == ["state.json.new"]


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


ARRAYS = {
    "momentum/0.weight": torch.tensor([[1.0, -2.0], [0.5, 0.0]]).T,
    "last/0.weight": torch.zeros(2, 2, dtype=torch.float16),
    "last/count": torch.tensor(3.0, dtype=torch.float64),
}


def with_arrays(file: StateFile, scale: float = 1.0) -> list[str]:
    """Write a state with arrays; give the names of all files that are there then."""
    file.write({**STATE, "arrays": {n: scale * each for n, each in ARRAYS.items()}})
    return names_beside(file.path)


def test_arrays_come_back_from_a_file_of_their_own(file):
    """Whatever their dtype and memory layout; the first file says what it is called."""
    names = with_arrays(file)
    assert names == ["state.json", "state.json.arrays-0.safetensors"]
    found = file.read()["arrays"]
    assert found.keys() == ARRAYS.keys()
    for name, expected in ARRAYS.items():
        assert_close(found[name], expected, rtol=0, atol=0)


def test_new_arrays_replace_the_old(file):
    """By turns, so that the old pair is whole until the new one is."""
    names = [with_arrays(file, scale)[1] for scale in (1.0, 2.0, 3.0)]
    assert [name[-13] for name in names] == ["0", "1", "0"]
    assert file.read()["arrays"]["momentum/0.weight"][0, 0] == 3.0
    file.write(STATE)
    assert names_beside(file.path) == [file.path.name]


def test_arrays_keep_the_mode_of_the_state(file):
    """They are as private."""
    file.path.chmod(0o600)
    path = file.path.with_name(with_arrays(file)[1])
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("damage", ["cut off", "missing", "something else"])
def test_damaged_arrays_are_an_error(file, damage):
    """The message names the state, and says what to do."""
    path = file.path.with_name(with_arrays(file)[1])
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1] if damage == "cut off" else b"x" * 99)
    with pytest.raises(
        StateError, match=r"state\.json.*its arrays.*backup, or move it"
    ):
        file.read()


def test_arrays_are_not_read_from_elsewhere(file, tmp_path):
    """A name is no path."""
    content = json.loads(file.path.read_text()) | {"arrays": "../secret.safetensors"}
    file.path.write_text(json.dumps(content))
    with pytest.raises(StateError, match="are not beside it"):
        file.read()


def test_a_state_of_version_1_is_read(file):
    """It had no arrays."""
    content = json.loads(file.path.read_text()) | {"format": "flwr-vdcs state 1"}
    del content["arrays"]
    file.path.write_text(json.dumps(content))
    assert file.read() == STATE


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
        ('{"format": "flwr-vdcs state 99"}', "expected format 'flwr-vdcs state 2'"),
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
    """Killed again and again while writing, the files are a pair of those written."""
    code = (
        "import sys, itertools, torch;"
        "from flwr_vdcs.records.state_file import StateFile;"
        "file = StateFile(sys.argv[1]);"
        "print('ready', flush=True);"
        "[file.write({'num_rounds': n, 'arrays': {'n': torch.full((999,), n)}})"
        " for n in itertools.count()]"
    )
    for delay in (0, 0.05, 0.2, 0.21, 0.22):
        command = [sys.executable, "-c", code, str(file.path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            process.stdout.read(6)
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
        state = file.read()
        assert state == STATE or state["arrays"]["n"].eq(state["num_rounds"]).all()
