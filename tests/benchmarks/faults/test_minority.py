"""A minority that answers with rubbish: the training goes on, and bans hit no other."""

import pytest
from faults.minorities import BROKEN, ERRORS, MINORITIES, Case, count

NUM_ROUNDS = 12


@pytest.mark.parametrize("case", MINORITIES, ids=str)
def test_every_round_is_trained_and_only_liars_are_banned(case):
    """M of 2 M + 1 send not-a-number; the committed file has 300 rounds of each."""
    found = count(case, NUM_ROUNDS)
    assert found.trained == found.rounds == NUM_ROUNDS
    assert found.liars_banned == case.num_liars
    assert found.honest_banned == 0
    assert 0 < found.banned_after < NUM_ROUNDS
    assert found.liars_asked == case.num_liars * found.banned_after
    assert found.accuracy > 0.5


@pytest.mark.parametrize("case", BROKEN, ids=str)
def test_a_broken_client_costs_rounds_only_where_nobody_rests(case):
    """Differential privacy bears no errors; rests last 1, 2 and 4 rounds at first."""
    found = count(case, NUM_ROUNDS)
    assert found.trained == (7 if case.has_reputation else 0)
    assert found.trained == NUM_ROUNDS - found.liars_asked
    assert found.liars_banned == found.honest_banned == found.banned_after == 0


def test_cases_are_minorities():
    """Both APIs, one to three liars; every one is there with and without a number."""
    assert {case.num_clients - 2 * case.num_liars for case in MINORITIES} == {1}
    assert len({*MINORITIES, *BROKEN}) == len(MINORITIES) + len(BROKEN) == 16
    assert Case("message", "FedAvg", 5, 2, ERRORS, 2).liars == {2, 4}
