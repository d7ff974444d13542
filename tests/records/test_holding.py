"""Two servers on the same files: the second one is refused."""

import copy
import os
import pickle
import subprocess
import sys

import pytest

from flwr_vdcs.errors import AuditLogError, StateError
from flwr_vdcs.records import AuditLog, StateFile
from flwr_vdcs.records.holding import Hold

HOLDER = """
import sys
from flwr_vdcs.records import AuditLog, StateFile
held = AuditLog(sys.argv[1]), StateFile(sys.argv[2])
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def paths(tmp_path):
    """Name a log and a state."""
    return tmp_path / "audit.jsonl", tmp_path / "state.json"


@pytest.fixture
def other(paths):
    """Let another process have both."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, *map(str, paths)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process


def test_the_second_server_is_refused_until_the_first_ends(paths, other):
    """With a sentence that says so; a process that is killed holds nothing."""
    log, state = paths
    with pytest.raises(AuditLogError, match="another server writes to it"):
        AuditLog(log)
    with pytest.raises(StateError, match="another server writes to it"):
        StateFile(state)
    other.kill()
    other.wait()
    AuditLog(log)
    StateFile(state)


def test_a_link_to_the_file_is_the_file(paths, other):
    """So two names for one file do not help."""
    link = paths[1].with_name("link.json")
    link.symlink_to(paths[1])
    with pytest.raises(StateError, match="another server"):
        StateFile(link)


def test_one_process_may_have_a_file_twice(paths):
    """As in a notebook, where a strategy is made anew."""
    first, second = StateFile(paths[1]), StateFile(paths[1])
    second.write({"num_rounds": 1})
    assert first.read() == {"num_rounds": 1}


def test_a_hold_ends_with_its_last_owner(paths):
    """Then there is nothing that keeps others out."""
    first = Hold(paths[0])
    again = copy.deepcopy(first), pickle.loads(pickle.dumps(first))
    lock = first._lock
    assert {each._lock for each in again} == {lock}
    assert lock.is_locked
    del first, again, lock
    code = f"from flwr_vdcs.records import AuditLog; AuditLog({str(paths[0])!r})"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_pipe_is_not_held(tmp_path):
    """Whoever reads it may open it, too."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    assert Hold(path)._lock is None
    assert not path.with_name("pipe.lock").exists()


def test_links_in_a_circle_are_an_error(tmp_path):
    """With the path, as for any place that cannot be written."""
    first, second = tmp_path / "a", tmp_path / "b"
    first.symlink_to(second)
    second.symlink_to(first)
    with pytest.raises(StateError, match="no file can be written there"):
        StateFile(first)
    with pytest.raises(AuditLogError, match="symbolic links"):
        AuditLog(first)
