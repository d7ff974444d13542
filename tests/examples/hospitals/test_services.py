"""What administrators copy: the units, and the backup."""

import json
import shutil
import sqlite3
import stat
import subprocess
from pathlib import Path

import pytest
import torch
from deployment.proxy import SERVICES

from flwr_vdcs.records import StateFile

UNITS = ("flower-superlink.service", "flower-supernode.service")
ANALYZE = shutil.which("systemd-analyze")
MOST_EXPOSED = 20
"""In tenths of systemd's measure, which calls up to 4.9 OK and 9.6 unsafe."""

needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd is not installed")


@pytest.fixture
def server(tmp_path):
    """Lend a server's folder as a federation leaves it, with the database in use."""
    folder = tmp_path / "server"
    output = folder / "output"
    output.mkdir(parents=True)
    for name in ("audit.jsonl", "rounds.jsonl", "model.pt"):
        (output / name).write_text(name)
    StateFile(output / "state.json").write(
        {"num_rounds": 1, "arrays": {"momentum/weight": torch.ones(3)}}
    )
    database = sqlite3.connect(folder / "superlink.db")
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("CREATE TABLE node (name TEXT)")
    database.execute("INSERT INTO node VALUES ('hospital-1')")
    database.commit()
    yield folder
    database.close()


def back_up(server: Path, backups: Path) -> Path:
    """Run the script as an administrator with a careless umask."""
    done = subprocess.run(
        ["/bin/sh", SERVICES / "backup.sh", server, backups],
        capture_output=True,
        text=True,
        umask=0o022,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def test_backup_can_be_restored(server, tmp_path):
    """Database, state with its arrays, audit log and model are there, and whole."""
    copy = back_up(server, tmp_path / "backups")
    state = StateFile(copy / "state.json").read()
    assert state["num_rounds"] == 1
    assert torch.equal(state["arrays"]["momentum/weight"], torch.ones(3))
    with sqlite3.connect(copy / "superlink.db") as database:
        assert database.execute("SELECT name FROM node").fetchall() == [("hospital-1",)]
    database.close()
    for name in ("audit.jsonl", "rounds.jsonl", "model.pt"):
        assert (copy / name).read_text() == name
    assert len((copy / "SHA256SUMS").read_text().splitlines()) == 6


def test_backup_is_ones_own(server, tmp_path):
    """Nobody else may read it, whatever the umask."""
    copy = back_up(server, tmp_path / "backups")
    for path in (copy.parent, copy, *copy.iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_backup_without_arrays(server, tmp_path):
    """A state that has no second file is copied alone."""
    output = server / "output"
    StateFile(output / "state.json").write({"num_rounds": 2})
    copy = back_up(server, tmp_path / "backups")
    assert StateFile(copy / "state.json").read()["num_rounds"] == 2
    assert json.loads((copy / "state.json").read_text())["arrays"] is None


def test_backup_of_nothing_fails(tmp_path):
    """A wrong folder is no empty backup."""
    done = subprocess.run(
        ["/bin/sh", SERVICES / "backup.sh", tmp_path / "nowhere", tmp_path / "to"],
        capture_output=True,
        check=False,
    )
    assert done.returncode != 0
    assert not (tmp_path / "nowhere").exists()


@needs_systemd
@pytest.mark.parametrize("unit", UNITS)
def test_unit_has_no_error(unit, tmp_path):
    """Only the program is missing here."""
    text = (SERVICES / unit).read_text()
    (tmp_path / unit).write_text(
        text.replace("/opt/federation/venv/bin/", "/bin/true ")
    )
    done = subprocess.run(
        [ANALYZE, "verify", tmp_path / unit],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
@pytest.mark.parametrize("unit", UNITS)
def test_unit_is_hardened(unit):
    """Little is left open of what systemd can close."""
    options = ["--offline=true", f"--threshold={MOST_EXPOSED}"]
    done = subprocess.run(
        [ANALYZE, "security", *options, SERVICES / unit],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_each_service_has_a_user_of_its_own():
    """What takes over one cannot read the other's keys."""
    users = {
        line
        for unit in UNITS
        for line in (SERVICES / unit).read_text().splitlines()
        if line.startswith("User=")
    }
    assert users == {"User=flower-superlink", "User=flower-supernode"}
