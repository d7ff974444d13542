"""Which models work: what is played, what counts as working, and the page of it."""

import csv
from pathlib import Path

import pytest
from compatibility import playing
from compatibility.catalogue import catalogue
from compatibility.entry import Entry
from compatibility.page import tables, with_tables
from compatibility.playing import ATTACKER, FAILS, MISSING, REFUSED, WORKS, judged, play
from run_compatibility import main
from torch import nn

from flwr_vdcs import Decision, RoundReport

DOCS = Path(__file__).parents[2] / "docs"
NEED_TORCH_ONLY = ["logistic regression", "image and table", "FedPer"]


def read(path: Path) -> list[dict[str, str]]:
    """Read the rows of a CSV."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_command_writes_a_row_for_each_model_and_none_twice(tmp_path):
    """Each is played in a process of its own."""
    output = tmp_path / "rows.csv"
    main(output=output, only=NEED_TORCH_ONLY[:2], limit=300)
    main(output=output, only=NEED_TORCH_ONLY, limit=300)
    rows = read(output)
    assert [row["name"] for row in rows] == NEED_TORCH_ONLY
    assert {row["result"] for row in rows} == {WORKS}
    assert {row["honest kept"] for row in rows} == {"10 of 10"}


@pytest.mark.filterwarnings("ignore:.torch.jit:")  # to be removed, says torch
def test_what_is_refused_says_so():
    """With the kind of the error and its sentence."""
    row = play(catalogue()["TorchScript"])
    assert row["result"] == REFUSED
    assert row["message"].startswith("InvalidArgumentError: ")


def test_a_library_that_is_missing_is_no_error():
    """Its rows say so."""
    entry = Entry("kind", "name", "no-such-library", nn.Identity)
    assert play(entry)["result"] == MISSING


def test_a_model_that_raises_is_a_row():
    """Whatever it raises."""

    def build() -> nn.Module:
        raise RuntimeError("no such weights\nsecond line")

    row = play(Entry("kind", "name", "torch", build, {"input_shape": (2,)}))
    assert row["result"] == FAILS
    assert row["message"] == "RuntimeError: no such weights"


def report(server_round: int, verdicts: dict[int, str], reason: str) -> RoundReport:
    """Make a round in which all others were kept."""
    decisions = tuple(
        Decision(str(node), verdicts.get(node, "kept"), 0.0, reason)
        for node in range(1, playing.NUM_CLIENTS + 1)
    )
    return RoundReport(server_round, decisions, 1, "hardened", "cpu", 0, 0.0)


@pytest.mark.parametrize(
    ("verdicts", "reason", "expected"),
    [
        ({ATTACKER: "dropped"}, "", WORKS),
        ({ATTACKER: "quarantined"}, "", WORKS),
        ({}, "clipped to twice the expected norm", WORKS),
        ({}, "", FAILS),
        ({ATTACKER: "dropped", 1: "dropped"}, "", FAILS),
    ],
)
def test_it_works_where_the_attacker_alone_is_stopped(verdicts, reason, expected):
    """In both rounds."""
    rounds = [report(number, verdicts, reason) for number in (1, 2)]
    assert judged(rounds)["result"] == expected


def test_it_does_not_work_where_the_attacker_passes_once():
    """Nor where a round is missing."""
    caught = report(1, {ATTACKER: "dropped"}, "")
    assert judged([caught, report(2, {}, "")])["result"] == FAILS
    assert judged([caught])["result"] == FAILS


def test_what_the_user_writes_is_what_is_given():
    """The table's code is made of the arguments themselves."""
    known = catalogue()
    assert known["BERT, classifier"].written == (
        "model=net, virtual_samples=tokens_and_mask"
    )
    assert known["two tasks, both heads named"].written == (
        "model=net, input_shape=(12,), head=('first', 'second')"
    )


def test_the_page_has_the_tables_of_its_rows():
    """And tables are replaced, not added."""
    page, rows = DOCS / "compatibility.md", DOCS / "compatibility" / "compatibility.csv"
    text = page.read_text()
    assert tables(read(rows)) in text
    assert with_tables(text, read(rows)) == text


def test_the_rows_are_of_the_catalogue_and_as_expected():
    """At least forty were run; refused is what is expected to be, and nothing else."""
    rows = read(DOCS / "compatibility" / "compatibility.csv")
    known = catalogue()
    assert [row["name"] for row in rows] == list(known)
    assert len(rows) >= 40
    for row in rows:
        expected = REFUSED if known[row["name"]].is_refused else WORKS
        assert row["result"] == expected, row
        assert row["written"] == known[row["name"]].written
