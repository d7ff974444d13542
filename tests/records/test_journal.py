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
