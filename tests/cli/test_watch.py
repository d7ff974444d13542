"""The command ``watch``: what it says of a log, and that it follows one."""

import signal
import subprocess
import sys
import time
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from flwr_vdcs.cli import app
from flwr_vdcs.cli.outcome import InputError
from flwr_vdcs.cli.reading.line import read_line
from flwr_vdcs.cli.watching.board import MAX_CLIENTS, Board
from flwr_vdcs.cli.watching.drawing import drawn, in_lines, summary
from flwr_vdcs.cli.watching.following import Follower
from flwr_vdcs.records import AuditLog
from flwr_vdcs.report import Decision
from tests.cli.logs import a_round, an_evaluation, decision, three_rounds, write

run = CliRunner().invoke

ROOT = Path(__file__).parents[2]
PATIENCE = 60


@pytest.fixture
def path(tmp_path) -> Path:
    """Give a place for a log."""
    return tmp_path / "audit.jsonl"


def board_of(path: Path, num_rounds: int = 30) -> Board:
    """Sum up a log."""
    board = Board(num_rounds)
    for raw in path.read_bytes().splitlines():
        board.add(read_line(raw))
    return board


def test_the_board_by_hand(path):
    """b: dropped twice, then banned; c: quarantined once; a falls from 0.8 to 0.6."""
    board = board_of(write(path, three_rounds()))
    assert {name: board.strip(seen) for name, seen in board.clients.items()} == {
        "a": "...",
        "b": "DDB",
        "c": "Q..",
    }
    assert board.clients["a"].trend == -1
    assert board.clients["b"].trend == 1
    assert board.clients["b"].refusal == "round 3, banned: banned until round 53"
    assert (board.num_rounds, board.num_skipped, board.num_evaluations) == (3, 0, 1)


def test_it_keeps_the_last_rounds_and_clients_only(path):
    """However long a log is and however many ids it has."""
    rounds = [a_round(n, [decision("a"), decision(f"x{n}")]) for n in range(1, 9)]
    board = board_of(write(path, rounds), num_rounds=3)
    assert board.strip(board.clients["a"]) == "..."
    assert board.strip(board.clients["x7"]) == " . "
    assert board.strip(board.clients["x2"]) == "   "
    many = Board(3)
    line = read_line(path.read_bytes().splitlines()[0])
    for start in range(0, 2 * MAX_CLIENTS, 100):
        fresh = tuple(decision(str(start + n)) for n in range(100))
        many.add(replace(line, decisions=fresh))
    assert len(many.clients) == MAX_CLIENTS
    assert str(2 * MAX_CLIENTS - 1) in many.clients


def test_once_writes_the_present_state(path):
    """Plain lines where stdout is no terminal, who was refused most at the top."""
    found = run(app, ["watch", str(write(path, three_rounds())), "--once"])
    assert found.exit_code == 0
    assert found.stdout.splitlines() == [
        (
            "round 3: kept 2, banned 1; 3 rounds in all; "
            "evaluations with refused answers: 1"
        ),
        (
            "b: [DDB] score 0.2 (up); dropped 2, banned 1; "
            "last refusal: round 3, banned: banned until round 53"
        ),
        (
            "c: [Q..] score 0.5 (down); kept 2, quarantined 1; "
            "last refusal: round 1, quarantined: fc.weight: found nan"
        ),
        "a: [...] score 0.6 (down); kept 3",
    ]


def test_skipped_rounds_and_torn_lines_are_counted(path):
    """They are told in the first line."""
    write(path, [a_round(1, [decision("a", "dropped")], skipped=True)])
    with path.open("a") as file:
        file.write('{"time": "2026\n')
    told = summary(board_of(path))
    assert told.startswith("round 1: skipped, dropped 1")
    assert told.endswith("skipped: 1; unreadable lines: 1")


def test_a_log_that_is_not_there_yet_is_no_error(path):
    """There is no round yet."""
    assert run(app, ["watch", str(path), "--once"]).stdout == "no round yet\n"


def test_names_and_what_clients_wrote_cannot_draw(path):
    """Markup is text, and control characters are written out."""
    given = Decision("1", "dropped", 0.1, "[red]x[/red] \x1b[2J\n\u202e", "[b]h\x07")
    board = board_of(write(path, [a_round(1, [given])]))
    [_, line] = in_lines(board, {})
    console = Console(width=200, file=StringIO(), record=True)
    console.print(drawn(board, {}, 200, 30))
    for text in (line, console.export_text()):
        assert "[b]h\\x07" in text
        assert "[red]x[/red] \\x1b[2J\\n\\u202e" in text


def test_a_terminal_that_is_too_low_shows_who_needs_attention(path):
    """The others are counted."""
    clients = [decision(f"n{n}", "dropped" if n == 7 else "kept") for n in range(20)]
    board = board_of(write(path, [a_round(1, clients)]))
    console = Console(width=100, file=StringIO(), record=True)
    console.print(drawn(board, {"n7": "hospital"}, 100, 15))
    text = console.export_text()
    assert text.index("hospital") < text.index("n0 ")
    assert "and 13 clients more" in text


@pytest.fixture
def follower(path):
    """Follow the log, and let it go in the end."""
    follower = Follower(path)
    yield follower
    follower.close()


def lines(follower: Follower) -> list[bytes]:
    """Ask for what is new."""
    return [*follower.new_lines()]


def test_a_line_is_given_once_it_is_whole(path, follower):
    """Not before its newline, and only once."""
    assert lines(follower) == []
    path.write_bytes(b"one\ntw")
    assert lines(follower) == [b"one"]
    with path.open("ab") as file:
        file.write(b"o\nthree\n")
    assert lines(follower) == [b"two", b"three"]
    assert lines(follower) == []


def test_a_rotated_file_is_read_to_its_end_and_the_new_one_from_its_start(
    path, follower
):
    """What was written between two looks is not lost; torn ends are a line."""
    path.write_bytes(b"one\n")
    assert lines(follower) == [b"one"]
    with path.open("ab") as file:
        file.write(b"two\ntor")
    path.rename(path.with_suffix(".1"))
    assert lines(follower) == [b"two"]
    path.write_bytes(b"three\n")
    assert lines(follower) == [b"tor", b"three"]


@pytest.mark.parametrize("content", [b"", b"x\n", b"another, longer than before\n"])
def test_a_file_that_was_emptied_is_read_from_its_start(path, follower, content):
    """Also where it has grown longer than before meanwhile."""
    path.write_bytes(b"one\ntwo\nto")
    assert lines(follower) == [b"one", b"two"]
    path.write_bytes(content)
    assert lines(follower) == content.splitlines()


def test_a_folder_cannot_be_followed(tmp_path):
    """The error names it."""
    with pytest.raises(InputError, match=f"{tmp_path} cannot be read"):
        lines(Follower(tmp_path))


TELL_IMPORTS = """
import sys
from flwr_vdcs.cli import app
app(standalone_mode=False)
names = ("torch", "flwr", "pandas", "numpy", "jinja2")
assert not [name for name in names if name in sys.modules]
"""


def test_it_imports_nothing_heavy(path):
    """It starts at once."""
    command = [sys.executable, "-c", TELL_IMPORTS, "watch", "--once"]
    subprocess.run([*command, str(write(path, three_rounds()))], cwd=ROOT, check=True)


def test_it_follows_a_federation_until_it_is_interrupted(path):
    """One line for each new round, also after a rotation; Ctrl-C exits with 130."""
    arguments = ["watch", str(path), "--interval", "0.05"]
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "flwr_vdcs", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    try:
        log = AuditLog(path)
        log.append(three_rounds()[0])
        assert process.stdout.readline() == (
            "round 1: kept 1, dropped 1, quarantined 1; "
            "b dropped (among the 1 lowest of 2 scores); "
            "c quarantined (fc.weight: found nan)\n"
        )
        path.rename(path.with_suffix(".1"))
        log.append(a_round(2, [decision("a")], skipped=True))
        assert process.stdout.readline() == "round 2: skipped, kept 1\n"
        log.append(an_evaluation(2, [decision("a", "quarantined", reason="NaN")]))
        expected = "evaluation of round 2: quarantined 1; a quarantined (NaN)\n"
        assert process.stdout.readline() == expected
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
        assert process.stderr.read() == ""
    finally:
        process.kill()
        process.communicate()
