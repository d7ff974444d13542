"""The chain of hashes: every change shows, and a crash does not look like one."""

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flwr_vdcs.records import AuditLog
from flwr_vdcs.verification import BEGINNING, verify
from tests.records.test_audit_log import report

NUM_ROUNDS = 5


@pytest.fixture
def path(tmp_path) -> Path:
    """Write a log of five rounds."""
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path)
    for server_round in range(1, NUM_ROUNDS + 1):
        log.append(report(server_round))
    return path


def lines_of(path: Path) -> list[bytes]:
    """Give the lines, without newlines."""
    return path.read_bytes().splitlines()


def put_back(path: Path, lines: list[bytes]) -> None:
    """Write the lines as they are."""
    path.write_bytes(b"".join(line + b"\n" for line in lines))


def test_a_line_carries_the_hash_of_the_one_before(path):
    """Computed anew with hashlib; the first carries zeros."""
    lines = lines_of(path)
    carried = [json.loads(line)["previous"] for line in lines]
    hashes = [hashlib.sha256(line).hexdigest() for line in lines]
    assert carried == ["0" * 64, *hashes[:-1]]
    assert verify([path]).head == hashes[-1]


def test_an_untouched_log_is_whole(path):
    """All lines follow, and there is nothing to note."""
    found = verify([path])
    assert found.is_whole
    assert found.num_lines == NUM_ROUNDS
    assert not found.notes


@given(position=st.integers(0), digit=st.sampled_from(b"0123456789"))
def test_any_changed_digit_shows(tmp_path_factory, position, digit):
    """Wherever a digit is changed, the chain breaks, but for the last line's own."""
    path = tmp_path_factory.mktemp("log") / "audit.jsonl"
    log = AuditLog(path)
    for server_round in (1, 2, 3):
        log.append(report(server_round))
    head, content = verify([path]).head, bytearray(path.read_bytes())
    digits = [place for place, byte in enumerate(content) if byte in b"0123456789"]
    place = digits[position % len(digits)]
    is_same = content[place] == digit
    content[place] = digit
    path.write_bytes(content)
    found = verify([path])
    assert (found.is_whole and found.head == head) is is_same


@pytest.mark.parametrize("line", range(NUM_ROUNDS - 1))
def test_a_removed_line_shows(path, line):
    """The next one does not follow; without the first, the log seems to go on."""
    lines = lines_of(path)
    del lines[line]
    put_back(path, lines)
    found = verify([path])
    if line == 0:
        assert found.notes == ("audit.jsonl, line 1 continues an earlier file.",)
    else:
        assert (found.broken_path, found.broken_line) == (path, line + 1)


def test_a_changed_verdict_names_the_line_after(path):
    """It is the next line that carries another hash."""
    lines = lines_of(path)
    lines[1] = lines[1].replace(b'"dropped"', b'"kept"')
    put_back(path, lines)
    found = verify([path])
    assert found.broken_line == 3
    assert found.problem.startswith("the line before was changed")


def test_lines_in_another_order_show(path):
    """Two lines that changed places do not follow each other."""
    lines = lines_of(path)
    lines[1], lines[2] = lines[2], lines[1]
    put_back(path, lines)
    assert verify([path]).broken_line == 2


def test_a_cut_off_end_shows_by_the_head_alone(path):
    """What is left follows, so the last hash must be kept elsewhere."""
    head = verify([path]).head
    put_back(path, lines_of(path)[:-1])
    found = verify([path])
    assert found.is_whole
    assert found.head != head


def test_a_torn_line_is_continued(path):
    """After a crash within a line the chain goes over the fragment."""
    path.write_bytes(path.read_bytes()[:-30])
    assert verify([path]).notes == (
        "audit.jsonl, line 5 is torn: a write was cut off there.",
    )
    AuditLog(path).append(report(6))
    found = verify([path])
    assert found.is_whole
    assert found.num_lines == 6


@pytest.mark.parametrize("start", [b"", b'{"time": "2026', b'{"time": "x"}'])
def test_zeros_of_a_power_failure_are_torn(path, start):
    """Some file systems leave them where a write was cut off."""
    with path.open("ab") as file:
        file.write(start + b"\0" * 100)
    AuditLog(path).append(report(6))
    found = verify([path])
    assert found.is_whole
    assert found.notes == ("audit.jsonl, line 6 is torn: a write was cut off there.",)


def test_a_changed_fragment_shows(path):
    """The line after a torn one vouches for it."""
    path.write_bytes(path.read_bytes()[:-30])
    AuditLog(path).append(report(6))
    lines = lines_of(path)
    lines[4] = lines[4][:-1]
    put_back(path, lines)
    assert verify([path]).broken_line == 6


def test_a_later_process_follows_on(path):
    """A log that is opened again takes the hash from the file."""
    AuditLog(path).append(report(6))
    assert verify([path]).is_whole


def test_a_log_tampered_with_while_it_is_written_shows(path):
    """The process remembers what it wrote and does not build on another line."""
    log = AuditLog(path)
    log.append(report(6))
    lines = lines_of(path)
    lines[5] = lines[5].replace(b'"dropped"', b'"kept"')
    put_back(path, lines)
    log.append(report(7))
    assert verify([path]).broken_line == 7


def test_rotated_files_are_one_chain(tmp_path):
    """The first line of the new file carries the hash of the old one's last."""
    path, old = tmp_path / "audit.jsonl", tmp_path / "audit.jsonl.1"
    log = AuditLog(path)
    log.append(report(1))
    path.rename(old)
    log.append(report(2))
    assert verify([old, path]).notes == ()
    assert verify([old, path]).num_lines == 2
    assert verify([path]).notes == ("audit.jsonl, line 1 continues an earlier file.",)
    assert verify([path, old]).broken_path == old


def test_a_line_without_a_hash_is_a_break(path):
    """Also one that was written before there were hashes."""
    with path.open("a") as file:
        file.write('{"server_round": 6}\n')
    assert verify([path]).problem == "it carries no hash of the line before"


@pytest.mark.parametrize("line", [b"", b"hello", b"[1]", b"[" * 100_000])
def test_what_is_no_line_is_a_break(path, line):
    """Text, another value or an empty line is not taken for a torn write."""
    with path.open("ab") as file:
        file.write(line + b"\n")
    found = verify([path])
    assert found.is_whole is (line == b"")
    assert found.num_lines == NUM_ROUNDS + 1


def test_an_empty_log_is_whole(tmp_path):
    """There is nothing that could be broken."""
    path = tmp_path / "audit.jsonl"
    path.touch()
    assert verify([path]).head == BEGINNING


def test_long_lines_are_read_back_whole(tmp_path):
    """The last line is found, however long it is."""
    path = tmp_path / "audit.jsonl"
    line = b'{"time": "' + b"x" * 200_000
    path.write_bytes(b"first\n" + line + b"\n")
    AuditLog(path).append(report(1))
    last = json.loads(lines_of(path)[-1])
    assert last["previous"] == hashlib.sha256(line).hexdigest()
