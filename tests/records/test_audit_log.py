"""The audit log: whole lines, at once, whatever happens in between."""

import io
import json
import os
import signal
import subprocess
import sys

import pytest

from flwr_vdcs.errors import AuditLogError
from flwr_vdcs.records.audit_log import AuditLog
from flwr_vdcs.records.journal import Journal
from flwr_vdcs.report import Decision, RoundReport
from flwr_vdcs.verification import BEGINNING, verify


def report(server_round: int = 1) -> RoundReport:
    """Make a report of one kept and one dropped client."""
    decisions = (Decision("7", "kept", 0.5), Decision("8", "dropped", -0.5, "low"))
    return RoundReport(server_round, decisions, 1, "paper", "cpu", 42, 0.25)


def read(path) -> list[dict]:
    """Read the lines that are whole."""
    return [json.loads(line) for line in path.read_text().splitlines() if line]


def test_a_line_holds_the_whole_round(tmp_path):
    """Round, seed, M, scoring, device, seconds, and every client's decision."""
    AuditLog(tmp_path / "audit.jsonl").append(report())
    [line] = read(tmp_path / "audit.jsonl")
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "server_round": 1,
        "decisions": [
            {
                "client_id": "7",
                "verdict": "kept",
                "score": 0.5,
                "reason": "",
                "name": "",
            },
            {
                "client_id": "8",
                "verdict": "dropped",
                "score": -0.5,
                "reason": "low",
                "name": "",
            },
        ],
        "num_malicious": 1,
        "scoring": "paper",
        "device": "cpu",
        "seed": 42,
        "seconds": 0.25,
        "skipped": False,
        "phase": "train",
        "sensitivity": None,
        "margin": 1.0,
        "bans": [],
        "scores_alike": False,
        "note": "",
        "report_only": False,
        "run": None,
        "previous": BEGINNING,
    }


def test_a_second_run_appends(tmp_path):
    """An existing log is continued."""
    for server_round in (1, 2):
        AuditLog(tmp_path / "audit.jsonl").append(report(server_round))
    assert [line["server_round"] for line in read(tmp_path / "audit.jsonl")] == [1, 2]


def test_a_torn_line_spoils_only_itself(tmp_path):
    """After a crash within a line the next run starts a line of its own."""
    path = tmp_path / "audit.jsonl"
    path.write_text('{"server_round": 1, "dec')
    AuditLog(path).append(report(2))
    torn, whole = path.read_text().splitlines()
    assert torn == '{"server_round": 1, "dec'
    assert json.loads(whole)["server_round"] == 2


def test_lines_survive_a_kill(tmp_path):
    """What was appended is there after SIGKILL, with no chance to flush."""
    path = tmp_path / "audit.jsonl"
    code = (
        "import os, signal, sys; from flwr_vdcs.records.audit_log import AuditLog;"
        "from tests.records.test_audit_log import report;"
        "log = AuditLog(sys.argv[1]); log.append(report(1)); log.append(report(2));"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path], check=False, env={**os.environ}
    )
    assert done.returncode == -signal.SIGKILL
    assert [line["server_round"] for line in read(path)] == [1, 2]


def test_an_unwritable_path_is_an_error_at_once(tmp_path):
    """A folder that is not there fails at construction, naming the path."""
    with pytest.raises(AuditLogError, match=r"nowhere/audit\.jsonl.*No such file"):
        Journal(tmp_path / "nowhere" / "audit.jsonl")


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's /dev/full")
def test_a_full_disk_costs_the_log_not_the_run(flower_log):
    """Every round that cannot be written is a warning, and the report is kept."""
    journal = Journal("/dev/full")
    journal.note_training(report())
    assert "missing from the audit log /dev/full" in flower_log.text
    assert len(journal.reports) == 1


def test_a_line_taken_in_part_is_ended_by_the_next(tmp_path, monkeypatch):
    """A short write is told, and the next line starts afresh."""
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path)

    class Short(io.FileIO):
        def write(self, line: bytes) -> int:
            return super().write(line[:10])

    with monkeypatch.context() as patch:
        patch.setattr(log, "_open", lambda: Short(path, "ab+"))
        with pytest.raises(OSError, match="only part of the line"):
            log.append(report(1))
    log.append(report(2))
    _, second = path.read_text().splitlines()
    assert json.loads(second)["server_round"] == 2


@pytest.mark.parametrize("share", [0, 0.5])
def test_a_log_that_is_rotated_after_a_full_disk_is_whole(tmp_path, monkeypatch, share):
    """The chain goes on from what was written last, torn or not."""
    path, kept = tmp_path / "audit.jsonl", tmp_path / "kept.jsonl"
    log = AuditLog(path)
    for server_round in (1, 2):
        log.append(report(server_round))

    def fill(file, data):
        file.write(data[: int(share * len(data))])
        raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("flwr_vdcs.records.audit_log._write", fill)
        with pytest.raises(OSError, match="no space"):
            log.append(report(3))
    path.rename(kept)
    log.append(report(4))
    found = verify([kept, path])
    assert found.is_whole, found.problem


def test_a_write_that_fails_in_a_new_file_goes_on_from_the_old_one(
    tmp_path, monkeypatch
):
    """The disk may still be full after the rotation."""
    path, kept = tmp_path / "audit.jsonl", tmp_path / "kept.jsonl"
    log = AuditLog(path)
    log.append(report(1))
    path.rename(kept)
    with monkeypatch.context() as patched:
        patched.setattr("flwr_vdcs.records.audit_log._write", _no_space)
        with pytest.raises(OSError, match="no space"):
            log.append(report(2))
    log.append(report(3))
    assert verify([kept, path]).is_whole


def _no_space(file, data):
    raise OSError("no space left on device")
