"""One line of text for people."""

import pytest

from flwr_vdcs.report import OUT_OF_MEMORY, TOO_FEW, Decision
from flwr_vdcs.sinks import summarize
from flwr_vdcs.sinks._text import MAX_NAMED, MAX_REASON, is_eventful
from tests.sinks.reports import QUIET, report


def test_a_round_reads_as_a_sentence():
    """Clients are called by name where they have one; what is unusual is counted."""
    assert summarize(report(7, bans=("3", "9"))) == (
        "round 7: banned from now on: south, 9; quarantined 4: NaN; "
        "dropped south (score -0.50): low; kept 2 of 6, idle 1, banned 1"
    )


@pytest.mark.parametrize(
    ("decisions", "why"),
    [
        ([Decision("1", "dropped", None, TOO_FEW)] * 2, "too few updates to compare"),
        (
            [Decision("1", "dropped", None, OUT_OF_MEMORY)],
            "the server ran out of memory",
        ),
        ([], "no update is left to aggregate"),
    ],
)
def test_a_skipped_round_says_why_once(decisions, why):
    """Nobody is named who was dropped for no fault of their own."""
    skipped = report(2, decisions=tuple(decisions), skipped=True)
    assert summarize(skipped) == f"round 2: skipped: {why}; kept 0 of {len(decisions)}"


def test_where_nothing_was_done_it_says_so():
    """Report-only and evaluation are named before all else."""
    quiet = report(3, decisions=QUIET, phase="evaluate", report_only=True)
    assert summarize(quiet) == "round 3, evaluation, report only: kept 2 of 2"


def test_many_clients_are_counted():
    """The line stays short, whatever clients are called or sent."""
    refused = [Decision(str(k), "dropped", -1.0, "x" * 999) for k in range(500)]
    text = summarize(report(decisions=tuple(refused)))
    assert text.count("(score") == MAX_NAMED
    assert f"dropped {500 - MAX_NAMED} more" in text
    assert len(text) < MAX_NAMED * (MAX_REASON + 40)


def test_a_name_adds_no_line():
    """A line break in a name is shown as such."""
    refused = Decision("1", "dropped", name="north\nround 8: all is well")
    assert "\n" not in summarize(report(decisions=(refused,)))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"decisions": QUIET}, False),
        ({"decisions": (*QUIET, Decision("5", "banned"))}, False),
        ({"decisions": (*QUIET, Decision("6", "idle"))}, False),
        ({"decisions": (*QUIET, Decision("6", "dropped"))}, True),
        ({"decisions": (*QUIET, Decision("6", "quarantined"))}, True),
        ({"decisions": QUIET, "bans": ("1",)}, True),
        ({"decisions": (), "skipped": True}, True),
    ],
)
def test_an_event_is_new(fields, expected):
    """A ban that goes on is no event; a refusal, a new ban and a skipped round are."""
    assert is_eventful(report(**fields)) is expected
