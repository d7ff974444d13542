"""Scores to selection: how many to drop, which, and when there are too few."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flwr_vdcs.decision.selection import (
    Selection,
    are_alike,
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
    assert select(candidates, 2, None) == Selection(1)
    verdicts = [each.verdict for each in candidates]
    assert verdicts == ["dropped", "quarantined", "kept", "kept"]
    assert candidates[0].reason == "among the 1 lowest of 3 scores: it is long"


def test_too_few_are_all_dropped():
    """The round is skipped, with the reason."""
    candidates = scored([0.1, 0.2])
    assert select(candidates, 1, None) == Selection(1, skipped=True)
    assert {(c.verdict, c.reason) for c in candidates} == {("dropped", TOO_FEW)}


def test_a_server_without_memory_skips_the_round():
    """Whatever the number of updates."""
    candidates = scored([None] * 5)
    found = select(candidates, 1, None, obstacle=OUT_OF_MEMORY)
    assert found == Selection(1, skipped=True)
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
    assert select(candidates, 2, None, num_banned=1) == Selection(1)
    assert [each.verdict for each in candidates].count("dropped") == 1


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([0.0] * 6, True),
        ([1.0, 1.0, 1.0 - 2.0**-53], True),
        ([1.0, 1.0, 1.0 - 2.0**-22], True),
        ([1.0, 1.0, 1.0 - 2.0**-20], False),
        ([-1e9, -1e9, -1e9 + 64], True),
        ([0.0, 0.0, 1e-30], False),
        ([1e-9, 2e-9, 3e-9], False),
        ([0.5, 0.5, 0.5, 0.9], False),
        ([0.5], False),
        ([], False),
    ],
)
def test_scores_are_alike_within_rounding_of_float32(scores, expected):
    """Four steps of 2**-23 of the largest: 64 is one step of a billion."""
    assert are_alike(scores) is expected


magnitudes = st.floats(2.0**-100, 2.0**100)


@given(
    size=magnitudes,
    steps=st.lists(st.integers(-2, 1), min_size=3, max_size=20),
    is_negative=st.booleans(),
)
def test_whatever_float32_rounds_by_a_step_or_two_is_alike(size, steps, is_negative):
    """As far as NumPy says that its neighbours are."""
    start = np.float32(-size if is_negative else size)
    scores = [float(start + step * np.spacing(start)) for step in steps]
    assert are_alike(scores)


@given(
    scores=st.lists(st.floats(-1, 1, width=16), min_size=3, max_size=20),
    power=st.integers(-60, 60),
    shuffle=st.randoms(use_true_random=False),
)
def test_neither_the_unit_nor_the_order_of_scores_matters(scores, power, shuffle):
    """Powers of two change no digit; of half precision no two numbers are alike."""
    again = [score * 2.0**power for score in scores]
    shuffle.shuffle(again)
    assert are_alike(again) == (len(set(scores)) == 1)


@given(
    value=st.floats(-1, 1),
    num_updates=st.integers(3, 20),
    num_malicious=st.integers(0, 30) | st.floats(0, 0.49),
    num_banned=st.integers(0, 3),
)
def test_of_equal_scores_nobody_is_dropped(
    value, num_updates, num_malicious, num_banned
):
    """Whatever M, even where it is too large to single anybody out."""
    candidates = scored([value] * num_updates)
    found = select(candidates, num_malicious, None, num_banned=num_banned)
    assert found.scores_alike
    assert not found.skipped
    assert {(each.verdict, each.reason) for each in candidates} == {("kept", "")}


@given(
    scores=st.lists(st.floats(-1, 1, width=16), min_size=3, max_size=20).filter(
        lambda scores: len(set(scores)) > 1
    ),
    data=st.data(),
)
def test_of_other_scores_the_lowest_are_dropped(scores, data):
    """As many as are to be; of equals at the border, the earlier."""
    num_to_drop = data.draw(st.integers(0, len(scores) - 2))
    candidates = scored(scores)
    assert select(candidates, num_to_drop, None) == Selection(num_to_drop)
    ranked = sorted(range(len(scores)), key=lambda place: (scores[place], place))
    dropped = [n for n, each in enumerate(candidates) if each.verdict == "dropped"]
    assert dropped == sorted(ranked[:num_to_drop])


def test_two_equals_at_the_border_are_ordinary():
    """The others differ, so the score tells something."""
    candidates = scored([0.9, 0.1, 0.1, 0.5])
    assert select(candidates, 1, None) == Selection(1)
    assert [each.verdict for each in candidates].index("dropped") == 1


def test_auto_compares_with_its_threshold_where_scores_are_equal():
    """All are far from the others; fewer than half are dropped, as ever."""
    candidates = scored([-2.0] * 5)
    assert select(candidates, "auto", -1.0) == Selection(2)
    verdicts = [each.verdict for each in candidates]
    assert verdicts == ["dropped"] * 2 + ["kept"] * 3


def test_what_fails_is_refused_beside_equal_scores():
    """Quarantine does not depend on them, and want of memory comes first."""
    candidates = scored([0.5, None, 0.5, 0.5])
    candidates[1].failure = "the model cannot run with it"
    assert select(candidates, 1, None).scores_alike
    assert candidates[1].verdict == "quarantined"
    found = select(scored([0.5] * 4), 1, None, obstacle=OUT_OF_MEMORY)
    assert found == Selection(1, skipped=True)
