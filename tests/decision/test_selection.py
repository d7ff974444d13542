"""Scores to selection: how many to drop, which, and when there are too few."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flwr_vdcs.decision.selection import (
    can_select,
    check_num_malicious,
    count_malicious,
    lowest,
    select,
)
from flwr_vdcs.errors import NumMaliciousError
from flwr_vdcs.report import OUT_OF_MEMORY, TOO_FEW
from tests.candidates import scored


@pytest.mark.parametrize(
    "given_value", [0, 3, 0.0, 0.3, 0.499, np.int64(2), np.float32(0.25), "auto"]
)
def test_possible_numbers_are_taken(given_value):
    """Counts and fractions below one half are possible, NumPy's included."""
    assert check_num_malicious(given_value) == given_value


@pytest.mark.parametrize(
    "given_value", [-1, 0.5, -0.1, 1.0, float("nan"), True, "3", "Auto", None]
)
def test_impossible_numbers_are_errors(given_value):
    """Anything else is an error that says what is allowed."""
    with pytest.raises(NumMaliciousError, match=r"int >= 0 .* float in \[0, 0\.5\)"):
        check_num_malicious(given_value)


@pytest.mark.parametrize(
    ("num_malicious", "num_updates", "expected"),
    [(3, 10, 3), (3, 2, 3), (0.3, 10, 3), (0.29, 100, 29), (0.3, 9, 2), (0.3, 3, 0)],
)
def test_fractions_are_rounded_down_with_a_tolerance(
    num_malicious, num_updates, expected
):
    """0.29 of 100 is 29, although 0.29 * 100 < 29 in floating point."""
    assert count_malicious(num_malicious, [0.0] * num_updates, None) == expected


@given(hundredths=st.integers(0, 49), num_updates=st.integers(0, 500))
def test_fractions_equal_integer_arithmetic(hundredths, num_updates):
    """A fraction of hundredths gives what exact integers give."""
    exact = hundredths * num_updates // 100
    assert count_malicious(hundredths / 100, [0.0] * num_updates, None) == exact


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([-1.0, -0.9, -0.1], 0),
        ([-1.1, -0.9, -0.1], 1),
        ([-3.0, -2.0, -2.0, -2.0, -0.1], 2),
        ([-3.0, -2.0], 0),
        ([], 0),
    ],
)
def test_auto_counts_what_is_below_the_threshold_but_never_half(scores, expected):
    """A threshold is exclusive; of five at most two are dropped, of two none."""
    assert count_malicious("auto", scores, -1.0) == expected


@pytest.mark.parametrize(
    ("num_updates", "num_to_drop", "possible"),
    [(3, 1, True), (2, 0, False), (3, 2, False), (10, 8, True), (10, 9, False)],
)
def test_at_least_two_must_agree(num_updates, num_to_drop, possible):
    """Fewer than three updates, or one left over, decide nothing."""
    assert can_select(num_updates, num_to_drop) is possible


def places(candidates) -> set[int]:
    """Tell candidates by their place in the round."""
    return {int(each.update.client_id) for each in candidates}


def test_drops_the_lowest_and_of_equals_the_earlier():
    """Eq. 19 on five scores with a tie; who has no score is not among them."""
    candidates = scored([0.5, 0.1, None, -0.2, 0.1, 0.9])
    assert places(lowest(candidates, 0)) == set()
    assert places(lowest(candidates, 2)) == {3, 1}


def test_differences_beyond_twelve_decimals_are_rounding():
    """Two scores that differ by rounding are equal, so the earlier one is dropped."""
    assert places(lowest(scored([0.5, 0.5 - 1e-15, 0.9]), 1)) == {0}


@given(
    scores=st.lists(st.floats(-1, 1), min_size=3, max_size=50),
    num_to_drop=st.integers(0, 3),
)
def test_no_kept_score_is_below_a_dropped_one(scores, num_to_drop):
    """What is kept scores at least as high as what is dropped, but for rounding."""
    dropped = places(lowest(scored(scores), num_to_drop))
    assert len(dropped) == num_to_drop
    kept = [score for place, score in enumerate(scores) if place not in dropped]
    assert all(scores[place] <= min(kept, default=1) + 1e-12 for place in dropped)


def test_each_update_gets_a_verdict():
    """Quarantined, dropped and kept clients; the scoring's word is in the reason."""
    candidates = scored([0.1, None, 0.9, 0.8], explanation="it is long")
    candidates[1].verdict, candidates[1].reason = "quarantined", "bad"
    assert select(candidates, 1, None) == (1, False)
    verdicts = [each.verdict for each in candidates]
    assert verdicts == ["dropped", "quarantined", "kept", "kept"]
    assert candidates[0].reason == "among the 1 lowest of 3 scores: it is long"


def test_too_few_are_all_dropped():
    """The round is skipped, with the reason."""
    candidates = scored([0.1, 0.2])
    assert select(candidates, 1, None) == (1, True)
    assert {(c.verdict, c.reason) for c in candidates} == {("dropped", TOO_FEW)}


def test_a_server_without_memory_skips_the_round():
    """Whatever the number of updates."""
    candidates = scored([None] * 5)
    assert select(candidates, 1, None, has_failed=True) == (1, True)
    assert {each.reason for each in candidates} == {OUT_OF_MEMORY}


@pytest.mark.parametrize("num_malicious", [0, 1])
def test_what_could_not_be_scored_is_quarantined(num_malicious):
    """Only a dry run lets it pass, without a score."""
    candidates = scored([0.1, None, 0.3, 0.4])
    candidates[1].failure = "the model cannot run with it"
    select(candidates, num_malicious, None)
    expected = "quarantined" if num_malicious else "kept"
    assert (candidates[1].verdict, candidates[2].verdict) == (expected, "kept")


def test_banned_clients_are_among_the_malicious():
    """Nobody is dropped in their place."""
    candidates = scored([0.1, 0.2, 0.3, 0.4])
    assert select(candidates, 2, None, num_banned=1) == (1, False)
    assert [each.verdict for each in candidates].count("dropped") == 1
