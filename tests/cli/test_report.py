"""The command ``report`` and its page: what is in the file, before any browser."""

import csv
import json
import re
import subprocess
import sys
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from flwr_vdcs.cli import app
from tests.cli.logs import (
    HOSTILE,
    a_round,
    change,
    decision,
    hostile_rounds,
    three_rounds,
    write,
)

run = CliRunner().invoke


@pytest.fixture
def log(tmp_path):
    """Write a log of three rounds and an evaluation."""
    return write(tmp_path / "audit.jsonl", three_rounds())


@pytest.fixture
def drawn(tmp_path):
    """Give a way to draw a page and read it."""

    def draw(*arguments) -> str:
        page = tmp_path / "report.html"
        found = run(app, ["report", *map(str, arguments), "-o", str(page)])
        assert found.exit_code == 0, found.output
        assert found.stdout.startswith(f"{page}: ")
        return page.read_text(encoding="utf-8")

    return draw


def data_of(page: str) -> dict:
    """Read what the page's script is told."""
    [text] = re.findall(
        r'<script type="application/json" id="report-data">(.*?)</script>', page
    )
    return json.loads(text)


def visible(page: str) -> str:
    """Leave out scripts, and put the rest in one line."""
    return " ".join(re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL).split())


def test_the_page_says_what_is_in_the_log(log, drawn):
    """Headline, notes, histories and settings can be read without any script."""
    text = visible(drawn(log))
    assert "<h1>In 3 rounds with 3 clients, look first at b (banned in 1).</h1>" in text
    assert "1 update had to be dropped or quarantined in every round" in text
    assert "Banned: agree with the hospital" in text
    assert "flwr-vdcs verify audit.jsonl --expect HASH" in text
    assert ">100 %<" in text
    assert "whole: 4 lines, last hash" in text
    assert "not as it was written" not in text
    for chart in ("verdicts", "scores", "histogram", "over-rounds"):
        assert f'id="{chart}"' in text
    assert re.search(r"made on \d{4}-\d\d-\d\d \d\d:\d\d UTC", text)


def test_the_page_says_that_nothing_was_changed(tmp_path, drawn):
    """In the headline, the notes, and to the script that writes table and labels."""
    rounds = [replace(each, report_only=True) for each in three_rounds()]
    page = drawn(write(tmp_path / "audit.jsonl", rounds))
    assert "look first at b (would have been banned in 1)" in visible(page)
    assert "The plugin only reported (report_only)" in visible(page)
    assert all(
        is_report_only for *_, is_report_only in data_of(page)["entries"].values()
    )


def test_names_stand_in_place_of_ids(log, tmp_path, drawn):
    """The id stands beside the name."""
    names = tmp_path / "names.json"
    names.write_text('{"b": "Charité", "a": "hospital-a"}')
    page = drawn(log, "--names", names)
    assert "look first at Charité (banned in 1)" in visible(page)
    assert [*data_of(page)["clients"].values()] == ["hospital-a", "Charité", "c"]
    assert '<td class="id"><bdi>b</bdi></td>' in page


def test_a_broken_log_is_an_alarm_on_the_page(log, drawn):
    """The page is drawn all the same, and says so at the top."""
    change(log, 2, {"dropped": "kept"})
    text = visible(drawn(log))
    assert "The log is not as it was written." in text
    assert "line 3 of" in text


def test_torn_lines_are_counted_on_the_page(log, drawn):
    """They are left out, and one is told how many."""
    with log.open("a") as file:
        file.write('{"time": "2026-01-0')
    text = visible(drawn(log))
    assert "1 line of the log could not be read" in text
    assert "<dt>Lines left out</dt><dd>1</dd>" in text


def test_several_files_are_one_page(log, tmp_path, drawn):
    """A second run in a second file is numbered on."""
    second = write(tmp_path / "second.jsonl", [a_round(1, [decision("d")])])
    page = drawn(log, second)
    assert "In 4 rounds with 4 clients" in page
    assert "new runs begin at round 4" in page
    numbers = [number for number, *_ in data_of(page)["entries"].values()]
    assert numbers == [1, 2, 2, 3, 4]


def test_nothing_comes_from_outside(log, drawn):
    """No element fetches anything, and the browser is told to fetch nothing."""
    page = drawn(log)
    text = visible(page)
    assert not re.search(r"""\b(src|srcset|action)\s*=|<link|@import|url\(http""", text)
    [policy] = re.findall(r'"Content-Security-Policy" content="([^"]*)"', page)
    assert policy.startswith("default-src 'none';")
    assert "http" not in policy
    assert "unsafe" not in policy.partition("script-src")[2].partition(";")[0]


def test_every_script_carries_the_pages_own_number(log, drawn):
    """Each page has another, so nobody can write it into a log beforehand."""
    first, second = (set(re.findall(r"'nonce-([^']+)'", drawn(log))) for _ in range(2))
    assert len(first) == len(second) == 1
    assert first != second
    scripts = re.findall(r"<script([^>]*)>.*?</script>", drawn(log), re.DOTALL)
    assert [tag for tag in scripts if "nonce" not in tag] == [
        ' type="application/json" id="report-data"'
    ]


def test_hostile_text_is_never_markup(tmp_path, drawn):
    """Ids, names and reasons are text in HTML, in the table's data and in charts."""
    names = tmp_path / "names.json"
    names.write_text(json.dumps({HOSTILE[0]: f"name {HOSTILE[1]}"}))
    log = write(tmp_path / "audit.jsonl", hostile_rounds())
    page = drawn(log, "--names", names)
    for text in HOSTILE:
        if "<" in text:
            assert text not in page
    assert "</script><script>window" not in page
    assert {*HOSTILE[1:]} <= {*data_of(page)["clients"].values()}


def test_a_usual_page_is_small(tmp_path, drawn):
    """50 rounds with 10 clients and long reasons stay far below 1 MB."""
    reason = "among the 10 lowest of 100 scores: its effect has 12.3 times the median"
    clients = [decision(f"{n}", "dropped", n / 10, reason) for n in range(10)]
    log = write(tmp_path / "l.jsonl", [a_round(n, clients) for n in range(1, 51)])
    assert len(drawn(log)) < 300_000


MEASURE = """
from pathlib import Path
from flwr_vdcs.cli import app
app(standalone_mode=False)
status = Path("/proc/self/status").read_text()
print(status.partition("VmHWM:")[2].split()[0])
"""
"""Tells the most memory that was taken, in kB; what started it does not count."""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured on Linux")
def test_many_clients_and_rounds_take_little_memory_and_a_bounded_page(tmp_path):
    """5,000 ids in 500 rounds: what is not drawn is told, and the CSV has it all."""
    reason = "among the 10 lowest of 100 scores: its effect has 12.3 times the median"
    rounds = [
        a_round(
            n,
            [
                decision(str(10 * n + c), "kept" if c else "dropped", 0.5, reason)
                for c in range(10)
            ],
        )
        for n in range(500)
    ]
    log, page = write(tmp_path / "l.jsonl", rounds), tmp_path / "r.html"
    table = tmp_path / "all.csv"
    arguments = ["report", str(log), "-o", str(page), "--csv", str(table)]
    command = [sys.executable, "-c", MEASURE, *arguments]
    found = subprocess.run(command, capture_output=True, check=True, text=True)
    assert int(found.stdout.split()[-1]) < 150_000
    text = page.read_text()
    assert len(text) < 3_000_000
    assert "Only 100 clients are drawn, those that need attention first" in text
    assert "The table has the last 4,500 of 5,000 decisions" in visible(text)
    assert "Only the 1,000 clients that need attention first are listed" in text
    assert len(table.read_text().splitlines()) == 5_001


def test_the_spreadsheet_has_every_decision_and_no_formula(tmp_path):
    """Quoted as CSV is; what begins like a formula is text, numbers stay numbers."""
    clients = [
        decision("=1+1", "dropped", -2.5, '+a, "b"\nc'),
        decision("@x", "quarantined", reason="-1"),
        decision("plain", score=0.25),
    ]
    log = write(tmp_path / "l.jsonl", [a_round(1, clients)])
    table = tmp_path / "all.csv"
    page = str(tmp_path / "r.html")
    assert (
        run(app, ["report", str(log), "-o", page, "--csv", str(table)]).exit_code == 0
    )
    with table.open(newline="", encoding="utf-8") as file:
        rows = [*csv.DictReader(file)]
    assert [row["client"] for row in rows] == ["'=1+1", "'@x", "plain"]
    assert [row["score"] for row in rows] == ["-2.5", "", "0.25"]
    assert [row["reason"] for row in rows] == ['\'+a, "b"\\nc', "'-1", ""]


def test_the_spreadsheet_goes_into_a_file_of_its_own(log, tmp_path):
    """Neither over the log nor over the page."""
    page = tmp_path / "r.html"
    for used in (log, page):
        found = run(app, ["report", str(log), "-o", str(page), "--csv", str(used)])
        assert "give --csv another name" in found.output
        assert found.exit_code == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no training round in"),
        ("torn {\n", "found no readable line in 1"),
    ],
)
def test_a_file_without_rounds_is_an_input_error(tmp_path, text, message):
    """No page is written."""
    log, page = tmp_path / "audit.jsonl", tmp_path / "report.html"
    log.write_text(text)
    found = run(app, ["report", str(log), "-o", str(page)])
    assert message in found.output
    assert found.exit_code == 2
    assert not page.exists()


def test_rounds_in_which_nobody_answered_are_an_input_error(tmp_path):
    """A server that nobody reached has a log, and nothing to draw."""
    log = write(tmp_path / "audit.jsonl", [a_round(1, []), a_round(2, [])])
    found = run(app, ["report", str(log), "-o", str(tmp_path / "report.html")])
    assert "no client answered in any round" in found.output
    assert found.exit_code == 2


def test_ids_of_any_length_are_sorted(tmp_path, drawn):
    """Python makes no number of more than 4,300 digits."""
    ids = ["7", "10", "9" * 5000]
    log = write(tmp_path / "long.jsonl", [a_round(1, [decision(i) for i in ids])])
    page = visible(drawn(log))
    assert page.index(">7<") < page.index(">10<") < page.index("9" * 5000)


@pytest.mark.parametrize("name", ["nowhere.jsonl", "."])
def test_what_is_no_file_is_wrong_usage(tmp_path, name):
    """Neither a missing file nor a folder can be drawn."""
    assert run(app, ["report", str(tmp_path / name)]).exit_code == 2


def test_the_log_is_not_written_over(log):
    """The page goes elsewhere, also where the path is spelled in another way."""
    before = log.read_bytes()
    elsewhere = log.parent / "x" / ".." / log.name
    (log.parent / "x").mkdir()
    found = run(app, ["report", str(log), "-o", str(elsewhere)])
    assert "give --output another name" in found.output
    assert found.exit_code == 2
    assert log.read_bytes() == before


def test_a_page_that_cannot_be_written_is_an_input_error(log, tmp_path):
    """The folder must be there."""
    found = run(app, ["report", str(log), "-o", str(tmp_path / "nowhere" / "r.html")])
    assert "cannot be written: No such file or directory" in found.output
    assert found.exit_code == 2


def test_names_that_cannot_be_read_are_an_input_error(log, tmp_path):
    """The names file must be one."""
    found = run(app, ["report", str(log), "--names", str(log)])
    assert "no JSON object of names" in found.output
    assert found.exit_code == 2
