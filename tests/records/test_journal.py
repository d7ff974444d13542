"""The journal: what it warns of, and once."""

from dataclasses import replace

import pytest

from flwr_vdcs.records import Journal
from flwr_vdcs.report import Decision, RoundReport


@pytest.mark.parametrize(("needs", "told"), [(True, 1), (False, 0)])
def test_low_sensitivity_is_told_once_where_it_matters(flower_log, needs, told):
    """Not where the scoring, of the user's own too, does without."""
    journal = Journal(None, needs_sensitivity=needs)
    for server_round in (1, 2):
        decisions = (Decision("1", "kept", 0.5),)
        report = RoundReport(server_round, decisions, 0, "own", "cpu", 0, 0.0)
        journal.note_training(RoundReport(**{**vars(report), "sensitivity": 1e-5}))
    assert flower_log.text.count("hardly reach the features") == told


def test_equal_scores_of_all_clients_are_told_once(flower_log):
    """And of which round, with what to do."""
    journal = Journal(None)
    decisions = (Decision("1", "kept", 0.5), Decision("2", "kept", 0.5))
    for server_round, scores_alike in ((1, False), (2, True), (3, True)):
        report = RoundReport(server_round, decisions, 1, "own", "cpu", 0, 0.0)
        journal.note_training(replace(report, scores_alike=scores_alike))
    [line] = [r for r in flower_log.records if "have the same score" in r.getMessage()]
    assert line.levelname == "WARNING"
    assert line.getMessage().startswith("Round 2: all clients")
    assert 'scoring="hardened", name another `head`' in line.getMessage()


def test_what_the_scoring_says_of_a_round_is_told_once(flower_log):
    """Each sentence, with the first round that it is said of."""
    journal = Journal(None)
    notes = ["", "nobody knows", "all do", "all do"]
    for server_round, note in enumerate(notes, 1):
        report = RoundReport(server_round, (), 0, "own", "cpu", 0, 0.0, note=note)
        journal.note_training(report)
    told = [r.getMessage() for r in flower_log.records if r.levelname == "WARNING"]
    assert told == [
        f"Round {n}: the scoring finds that {notes[n - 1]}." for n in (2, 3)
    ]
    assert [each.note for each in journal.reports] == ["", "nobody knows"] + [
        "all do"
    ] * 2
