"""The journal: what it warns of, and once."""

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
