"""Scores to selection: how many to drop, which, and when there are too few."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flwr_vdcs.decision.selection import (
    can_select,
    check_num_malicious,
    count_malicious,
    decide,
    lowest,
)
from flwr_vdcs.errors import NumMaliciousError
from flwr_vdcs.flower.replies import Update
from flwr_vdcs.report import TOO_FEW


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


def test_drops_the_lowest_and_of_equals_the_earlier():
    """Eq. 19 on five scores with a tie."""
    scores = {0: 0.5, 1: 0.1, 3: -0.2, 4: 0.1, 7: 0.9}
    assert lowest(scores, 0) == set()
    assert lowest(scores, 2) == {3, 1}


def test_differences_beyond_twelve_decimals_are_rounding():
    """Two scores that differ by rounding are equal, so the earlier one is dropped."""
    assert lowest({0: 0.5, 1: 0.5 - 1e-15, 2: 0.9}, 1) == {0}


@given(
    scores=st.dictionaries(st.integers(0, 50), st.floats(-1, 1), min_size=3),
    num_to_drop=st.integers(0, 3),
)
def test_no_kept_score_is_below_a_dropped_one(scores, num_to_drop):
    """What is kept scores at least as high as what is dropped, but for rounding."""
    dropped = lowest(scores, num_to_drop)
    assert len(dropped) == num_to_drop
    kept = [scores[place] for place in scores if place not in dropped]
    assert all(scores[place] <= min(kept, default=1) + 1e-12 for place in dropped)


def test_each_update_gets_one_decision_in_order():
    """Quarantined, dropped and kept clients stand in the order of their replies."""
    updates = [Update(name) for name in "abc"]
    decisions = decide(updates, {1: "bad"}, {0: 0.1, 2: 0.9}, 1)
    assert [(d.client_id, d.verdict, d.score) for d in decisions] == [
        ("a", "dropped", 0.1),
        ("b", "quarantined", None),
        ("c", "kept", 0.9),
    ]
    assert decisions[0].reason == "among the 1 lowest of 2 scores"


def test_a_skipped_round_keeps_nobody():
    """Too few updates are all dropped, with the reason."""
    decisions = decide([Update("a")], {}, {}, 1, skipped=TOO_FEW)
    assert decisions[0].verdict == "dropped"
    assert "too few" in decisions[0].reason
