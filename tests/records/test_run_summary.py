"""The line at the end of a run."""

import pytest

from flwr_vdcs.records import Journal
from flwr_vdcs.records.run_summary import MOST_NAMED
from flwr_vdcs.report import TOO_FEW, Decision, RoundReport


def report(*decisions, **changes):
    """Make the report of a round."""
    return RoundReport(1, decisions, 1, "own", "cpu", 0, 0.0, **changes)


def last_line(flower_log, rounds):
    """Note rounds, each with whether a model came of it; give the line at the end."""
    journal = Journal(None)
    journal.begin_run()
    for each, has_model in rounds:
        journal.note_training(each)
        journal.summary.note(each)
        if has_model:
            journal.summary.note_model()
    journal.end_run()
    return flower_log.records[-1]


KEPT = Decision("1", "kept", 0.5)
DROPPED = Decision("2", "dropped", -1.6, "it goes against the others", "north")


def test_it_counts_rounds_causes_and_refusals(flower_log):
    """A skipped round drops nobody, and what was refused most stands first."""
    skipped = report(Decision("1", "dropped", None, TOO_FEW), skipped=True)
    odd = Decision("3", "quarantined", None, "NaN")
    line = last_line(
        flower_log,
        [
            (report(KEPT, DROPPED), True),
            (report(KEPT, DROPPED, odd), True),
            (report(KEPT), False),
            (skipped, False),
            (skipped, False),
            (report(), False),
        ],
    )
    assert line.levelname == "INFO"
    assert line.getMessage() == (
        "Virtual consistency: 2 of 6 rounds aggregated (too few updates to compare: 2, "
        "the wrapped strategy gave no model: 1, no client answered: 1); dropped: north "
        "2 times; quarantined: 3 once"
    )


def test_a_run_without_a_model_is_an_error(flower_log):
    """Whatever the reason."""
    odd = Decision("1", "quarantined", None, "NaN")
    line = last_line(flower_log, [(report(odd), False)])
    assert line.levelname == "ERROR"
    assert line.getMessage() == (
        "Virtual consistency: 0 of 1 rounds aggregated, so the model is untrained "
        "(NaN: 1); quarantined: 1 once"
    )


def test_many_are_counted_instead_of_named(flower_log):
    """So that the line can be read."""
    dropped = [Decision(str(n), "dropped", -2.0, "far") for n in range(8)]
    line = last_line(flower_log, [(report(KEPT, *dropped), True)])
    assert line.getMessage().endswith(f"{MOST_NAMED - 1} once, 3 more")


def test_what_is_only_reported_is_said_so(flower_log):
    """Nobody was left out."""
    line = last_line(flower_log, [(report(KEPT, DROPPED, report_only=True), True)])
    assert "; would have been dropped: north once" in line.getMessage()


def test_a_run_without_rounds_says_nothing(flower_log):
    """As a loop that goes past the plugin has none."""
    journal = Journal(None)
    journal.begin_run()
    journal.end_run()
    assert not flower_log.records


@pytest.mark.parametrize("report_only", [False, True])
def test_who_is_dropped_is_named_in_the_round(flower_log, report_only):
    """With score and reason; the name has the id beside it the first time."""
    journal = Journal(None)
    for _ in range(2):
        journal.note_training(report(KEPT, DROPPED, report_only=report_only))
    verb = "would drop" if report_only else "dropped"
    told = [r.getMessage().strip("\t├─> ") for r in flower_log.records if verb in r.msg]
    assert [line for line in told if "score" in line] == [
        f"Virtual consistency: {verb} {who} (score -1.60): it goes against the others"
        for who in ("north (2)", "north")
    ]
