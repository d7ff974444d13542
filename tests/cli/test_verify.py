"""The command ``verify``: what it says of a log, and how it exits."""

import hashlib

import pytest
from typer.testing import CliRunner

from flwr_vdcs.cli import app
from tests.cli.logs import change, three_rounds, write

run = CliRunner().invoke


@pytest.fixture
def log(tmp_path):
    """Write a log of four lines."""
    return write(tmp_path / "audit.jsonl", three_rounds())


def last_hash(path) -> str:
    """Hash the last line of a file with hashlib."""
    return hashlib.sha256(path.read_bytes().splitlines()[-1]).hexdigest()


def test_a_whole_log_is_fine(log):
    """The number of lines and the last hash are told."""
    found = run(app, ["verify", str(log)])
    assert found.stdout == f"whole: 4 lines, last hash {last_hash(log)}\n"
    assert found.exit_code == 0


def test_a_changed_line_is_a_problem(log):
    """The line after the changed one is named, as it no longer follows."""
    change(log, 2, {"dropped": "kept"})
    found = run(app, ["verify", str(log)])
    assert found.stdout.startswith(f"broken at line 3 of {log}: the line before was")
    assert found.exit_code == 1


def test_an_end_that_was_cut_off_shows_by_the_expected_hash(log):
    """The chain alone cannot tell, the hash kept elsewhere can."""
    kept_elsewhere = last_hash(log)
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:-1]))
    assert run(app, ["verify", str(log)]).exit_code == 0
    found = run(app, ["verify", str(log), "--expect", kept_elsewhere])
    assert f"last hash should be {kept_elsewhere}" in found.stdout
    assert found.exit_code == 1


def test_the_expected_hash_may_be_written_large(log):
    """Case and spaces around it do not matter."""
    expected = f" {last_hash(log).upper()} "
    assert run(app, ["verify", str(log), "--expect", expected]).exit_code == 0


@pytest.mark.parametrize("expected", ["", "12ab", "g" * 64, "0" * 65])
def test_what_is_no_hash_cannot_be_expected(log, expected):
    """An error says what a hash is."""
    found = run(app, ["verify", str(log), "--expect", expected])
    assert "64 hexadecimal digits" in found.output
    assert found.exit_code == 2


def test_rotated_files_are_one_log(log, tmp_path):
    """The second file goes on where the first ends, and a note says so without it."""
    first, second = tmp_path / "audit.1.jsonl", tmp_path / "audit.2.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    first.write_text("".join(lines[:2]))
    second.write_text("".join(lines[2:]))
    assert "whole: 4 lines" in run(app, ["verify", str(first), str(second)]).stdout
    alone = run(app, ["verify", str(second)])
    assert "note: audit.2.jsonl, line 1 continues an earlier file." in alone.stdout
    assert alone.exit_code == 0
    assert run(app, ["verify", str(second), str(first)]).exit_code == 1


def test_an_empty_file_is_no_log(tmp_path):
    """It proves nothing, so it is not called whole."""
    (tmp_path / "audit.jsonl").touch()
    found = run(app, ["verify", str(tmp_path / "audit.jsonl")])
    assert "there is no line in" in found.output
    assert found.exit_code == 2


def test_a_file_that_cannot_be_read_is_an_input_error(log, monkeypatch):
    """A disk that fails is told in one line."""

    def fail(_paths):
        raise OSError(5, "Input/output error", str(log))

    monkeypatch.setattr("flwr_vdcs.cli.chain.verify", fail)
    found = run(app, ["verify", str(log)])
    assert f"Error: {log} cannot be read: Input/output error." in found.output
    assert found.exit_code == 2


@pytest.mark.parametrize("name", ["nowhere.jsonl", "."])
def test_what_is_no_file_is_wrong_usage(tmp_path, name):
    """Neither a missing file nor a folder can be verified."""
    assert run(app, ["verify", str(tmp_path / name)]).exit_code == 2
