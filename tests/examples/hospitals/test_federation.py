"""A federation's bookkeeping, with programs and answers made up."""

import json
import os
import sys
import tomllib
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from deployment import registry, run
from deployment.errors import FederationError
from deployment.federation import Federation
from deployment.layout import CONNECTION, Layout
from deployment.program import Program
from deployment.registry import Registry
from deployment.run import Run, Written

SLEEPING = [sys.executable, "-c", "import time; time.sleep(60)"]
MINUTE = timedelta(minutes=1)


@pytest.fixture
def layout(tmp_path):
    """Lend the folders of a federation that does not run."""
    layout = Layout(tmp_path)
    layout.make()
    return layout


@pytest.fixture
def sleeper(layout):
    """Lend a program that runs and does nothing."""
    program = Program("it", SLEEPING, dict(os.environ), layout.logs / "it.log")
    program.start()
    yield program
    program.kill()


def write_lines(path, lines):
    """Append JSON Lines."""
    with path.open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


# --- folder ---------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o701])
def test_folder_that_others_may_enter_is_refused(tmp_path, mode):
    """Private keys do not go where others may look; nothing is written."""
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(FederationError, match=rf"mode 0{mode:o}, .* chmod 700"):
        Layout(folder).make()
    assert not list(folder.iterdir())


def test_new_folder_is_ones_own(tmp_path):
    """Whatever the umask."""
    Layout(tmp_path / "new").make()
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


# --- registration ---------------------------------------------------------------------


def test_hospital_is_registered_once(layout, monkeypatch):
    """The node id is noted, and nothing is asked the second time."""
    asked = []

    def ask(_layout, *arguments):
        asked.append(arguments)
        return {"node-id": 7}

    monkeypatch.setattr(registry, "ask", ask)
    for _ in range(2):
        Registry(layout).register("hospital-1", layout.keys / "hospital-1.pub")
    assert Registry(layout).node_ids() == {"hospital-1": "7"}
    [[*command, name]] = asked
    assert (command[:2], name) == (["supernode", "register"], "hospital-1")


def test_who_is_online_is_told_by_name(layout, monkeypatch):
    """Offline nodes and those of nobody's name are left out."""
    layout.registrations.write_text('{"hospital-1": "1", "hospital-2": "2"}')
    nodes = [
        {"node-id": node_id, "status": status, "online-at": "2026-01-02 03:04:05Z"}
        for node_id, status in (("1", "online"), ("2", "offline"), ("3", "online"))
    ]
    monkeypatch.setattr(registry, "ask", lambda *_: {"nodes": nodes})
    since = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert Registry(layout).online() == {"hospital-1": since}


def test_connection_is_written_as_flower_reads_it(layout):
    """Address and authority stand under the connection's name."""
    layout.connect("127.0.0.1:1234")
    settings = tomllib.loads((layout.home / "config.toml").read_text())["superlink"]
    assert settings["default"] == CONNECTION
    assert settings[CONNECTION] == {
        "address": "127.0.0.1:1234",
        "root-certificates": str(layout.certificates / "ca.crt"),
    }


# --- waiting for hospitals ------------------------------------------------------------


@pytest.fixture
def federation(layout, sleeper, monkeypatch):
    """Lend a federation of one hospital whose SuperNode was just started."""
    monkeypatch.setattr("deployment.waiting.SECONDS_BETWEEN_LOOKS", 0)
    federation = Federation(layout.folder, hospitals=1)
    federation.superlink = sleeper
    log = layout.logs / "hospital-1.log"
    supernode = Program("hospital-1", SLEEPING, dict(os.environ), log)
    supernode.start()
    federation.supernodes["hospital-1"] = supernode
    yield federation
    supernode.kill()


def answer(federation, *answers):
    """Let the SuperLink answer who is online, one answer after the other."""
    left = iter(answers)
    federation.registry = SimpleNamespace(online=lambda: next(left))


def test_hospital_that_came_online_since_its_start_is_there(federation):
    """The SuperLink knows seconds only, so the same second counts."""
    answer(federation, {"hospital-1": datetime.now(UTC).replace(microsecond=0)})
    federation.wait_online(["hospital-1"])


def test_hospital_that_was_online_before_its_start_is_not_there(federation):
    """A killed SuperNode counts as online for a while, which says nothing."""
    now = datetime.now(UTC)
    answers = [{"hospital-1": now - MINUTE}, {}, {"hospital-1": now + MINUTE}]
    answer(federation, *answers)
    federation.wait_online(["hospital-1"])
    with pytest.raises(StopIteration):
        federation.registry.online()


def test_refused_supernode_is_started_again(federation):
    """One that has ended is started, as a service manager would."""
    supernode = federation.supernodes["hospital-1"]
    supernode.kill()
    answer(federation, {"hospital-1": datetime.now(UTC) + MINUTE})
    federation.wait_online(["hospital-1"])
    assert supernode.is_running


def test_hospital_that_stays_away_is_named_with_its_log(federation, monkeypatch):
    """The log that is quoted is that of the missing hospital."""
    monkeypatch.setattr("deployment.arrival.SECONDS_TO_CONNECT", 0)
    answer(federation, {})
    with pytest.raises(FederationError, match="until hospital-1 are online") as caught:
        federation.wait_online(["hospital-1"])
    assert caught.value.log.name == "hospital-1.log"


# --- runs -----------------------------------------------------------------------------


@pytest.fixture
def started(layout, sleeper, monkeypatch):
    """Lend a run of two rounds after an earlier one, whose ending can be chosen."""
    monkeypatch.setattr(run, "SECONDS_BETWEEN_LOOKS", 0)
    monkeypatch.setattr(run.subprocess, "run", lambda *_, **__: None)
    write_lines(layout.rounds, [{"round": 0}, {"round": 1}])
    write_lines(layout.audit_log, [{"server_round": 1}])
    started = Run("5", layout, sleeper, 2, Written.so_far(layout))
    started.status = "running"
    monkeypatch.setattr(run, "ask", lambda *_: {"runs": [{"status": started.status}]})
    return started


def test_run_has_the_lines_that_came_since_its_start(started):
    """What earlier runs have written is not its own."""
    write_lines(started.layout.rounds, [{"round": 0}])
    write_lines(started.layout.audit_log, [{"server_round": 1, "seed": 2}])
    assert started.rounds() == [{"round": 0}]
    assert started.audit() == [{"server_round": 1, "seed": 2}]


def test_finished_run_returns_its_rounds_and_tells_each(started):
    """Every round is told once, in order."""
    lines = [{"round": number} for number in range(3)]
    write_lines(started.layout.rounds, lines)
    started.status, told = "finished:completed", []
    assert started.wait(60, told.append) == lines
    assert told == lines


def test_failed_run_says_how_far_it_came(started):
    """The rounds and Flower's own words are in the error."""
    write_lines(started.layout.rounds, [{"round": 0}, {"round": 1}])
    started.status = "finished:failed"
    with pytest.raises(FederationError, match=r"1 of 2 rounds .* 'finished:failed'"):
        started.wait(60)


def test_run_that_ends_well_with_too_few_rounds_has_failed(started):
    """A completed run proves nothing if its rounds are missing."""
    started.status = "finished:completed"
    with pytest.raises(FederationError, match="0 of 2 rounds were finished"):
        started.wait(60)


def test_silent_run_is_given_up(started, monkeypatch):
    """A run that finishes no round for too long is an error."""
    monkeypatch.setattr(run, "SECONDS_TO_START", 0)
    with pytest.raises(FederationError, match="no round was finished for 0 s"):
        started.wait(0)


def test_run_ends_with_its_superlink(started):
    """A killed SuperLink takes the run with it, and the error says so."""
    started.superlink.kill()
    with pytest.raises(FederationError, match="it has ended with code -9"):
        started.wait(60)
