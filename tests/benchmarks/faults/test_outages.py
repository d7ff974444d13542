"""The trials on a real deployment: what they read from what it has written."""

import json
import time
from pathlib import Path

import pytest
from deployment.errors import FederationError
from deployment.layout import Layout
from deployment.lines import read_lines
from deployment.run import Run, Written
from faults import watching
from faults.outcome import NUM_HOSPITALS, Outcome, outcome
from faults.watching import Watch

from flwr_vdcs.records.audit_log import AuditLog
from flwr_vdcs.report import Decision, RoundReport


class _Running:
    """A SuperLink that runs."""

    log = Path("superlink.log")

    def check(self):
        """Have nothing to say."""


class _Stopped(_Running):
    def check(self):
        raise FederationError("the SuperLink has ended", self.log)


class _Federation:
    def __init__(self, folder):
        self.layout = Layout(folder)
        self.layout.make()


@pytest.fixture
def federation(tmp_path):
    """Give the folders of a federation, without its programs."""
    (tmp_path / "superlink.log").touch()
    return _Federation(tmp_path)


def watch(federation, superlink=None):
    """Watch a run that nobody runs."""
    before = Written.so_far(federation.layout)
    return Watch(Run("1", federation.layout, superlink or _Running(), 2, before))


def finish(federation, server_round, accuracy=0.5):
    """Write the line of a finished round, as the ServerApp does."""
    line = {"round": server_round, "accuracy": accuracy, "loss": 1.0}
    with federation.layout.rounds.open("a") as file:
        file.write(json.dumps(line) + "\n")


def judge(federation, server_round, *verdicts):
    """Write a line of the audit log, of hospitals 0, 1, 2 and so on."""
    decisions = tuple(Decision(str(n), verdict) for n, verdict in enumerate(verdicts))
    report = RoundReport(server_round, decisions, 1, "paper", "cpu", 0, 0.0)
    AuditLog(federation.layout.audit_log).append(report)


def test_an_outcome_without_a_restart(federation):
    """One of four did not answer in the second of two rounds, and came back."""
    seen = watch(federation)
    for server_round in (0, 1, 2):
        finish(federation, server_round)
        seen.wait_for(server_round)
    finish(federation, 3, accuracy=0.75)
    judge(federation, 1, *["kept"] * 4)
    judge(federation, 2, *["kept"] * 3)
    judge(federation, 3, "dropped", *["kept"] * 3)
    assert outcome(federation, seen, seconds=5.0) == Outcome(
        rounds_finished=3,
        replies_missing=1,
        quarantined=0,
        rounds_lost=0,
        seconds_before=seen.seconds(1),
        seconds_faulty=5.0,
        bans=0,
        bans_kept=0,
        answered_last=4,
        chain_is_whole=True,
        accuracy=0.75,
    )


@pytest.mark.parametrize(("last", "bans_kept"), [("banned", 1), ("kept", 0)])
def test_an_outcome_after_a_restart(federation, last, bans_kept):
    """The round in which the server was killed is lost, and the ban was kept or not."""
    first = watch(federation)
    for server_round in (0, 1, 2):
        finish(federation, server_round)
        first.wait_for(server_round)
    judge(federation, 1, *["kept"] * 3, "quarantined")
    judge(federation, 2, *["kept"] * 3, "quarantined")
    judge(federation, 3, *["kept"] * 3, "banned")
    before = read_lines(federation.layout.audit_log)
    second = watch(federation)
    finish(federation, 0)
    finish(federation, 1, accuracy=0.6)
    judge(federation, 1, *["kept"] * 3, last)
    found = outcome(federation, first, second, seconds=9.0, before=before)
    assert (found.rounds_finished, found.rounds_lost) == (3, 1)
    assert (found.bans, found.bans_kept) == (1, bans_kept)
    assert found.quarantined == 2
    assert found.seconds_before == first.seconds(2)
    assert found.answered_last == NUM_HOSPITALS - bans_kept
    assert found.accuracy == 0.6
    assert found.chain_is_whole


def test_a_broken_chain_is_told(federation):
    """A line that was changed does not go unnoticed."""
    seen = watch(federation)
    for server_round in (0, 1, 2):
        finish(federation, server_round)
        seen.wait_for(server_round)
        judge(federation, server_round, *["kept"] * 4)
    log = federation.layout.audit_log
    log.write_text(log.read_text().replace("kept", "kepT", 1))
    assert not outcome(federation, seen, seconds=1.0).chain_is_whole


def test_a_watch_tells_how_long_rounds_took(federation):
    """From the end of one to the end of the next."""
    seen = watch(federation)
    finish(federation, 0)
    seen.wait_for(0)
    time.sleep(0.05)
    finish(federation, 1)
    seen.wait_for(1)
    assert 0.05 <= seen.seconds(1) < 10


def test_a_watch_ends_with_the_superlink(federation):
    """Nobody waits for a round that cannot come."""
    with pytest.raises(FederationError, match="has ended"):
        watch(federation, _Stopped()).wait_for(1)


def test_a_watch_does_not_wait_for_ever(federation, monkeypatch):
    """A round that takes too long is an error that names the log."""
    monkeypatch.setattr(watching, "SECONDS_A_ROUND", 0)
    with pytest.raises(FederationError, match="round 1 was finished"):
        watch(federation).wait_for(1)
