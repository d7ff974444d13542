"""Seen to scored: what becomes of features, whatever a scoring makes of them."""

import math
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from flwr_vdcs.errors import InvalidArgumentError
from flwr_vdcs.scoring.base import stacked
from flwr_vdcs.scoring.judgement import Judgement
from flwr_vdcs.scoring.run import Scored, score

START = {"w": torch.zeros(2)}


def states(*values):
    """Let each update be one number, twice, at places 0, 2, 4, ..."""
    return {2 * k: {"w": torch.full((2,), float(v))} for k, v in enumerate(values)}


class Own:
    """Score by what some functions say."""

    name = "own"

    def __init__(self, look, judge=lambda features: features.flatten(1)[:, 0]) -> None:
        self.look, self.count = look, judge

    def features(self, _probe, global_state, update):
        """Look at the deviation."""
        return self.look(update["w"] - global_state["w"])

    def scores(self, features):
        """Judge all of them."""
        return self.count(features)


def scored(scoring, *values):
    """Score updates of those values without a model."""
    return score(states(*values), START, scoring, None)


def test_scores_stand_at_the_places_of_their_updates():
    """The quarantined in between have none."""
    found = scored(Own(lambda delta: delta[None]), 3, 1, 2)
    assert found.scores == {0: 3.0, 2: 1.0, 4: 2.0}
    assert found.failed == {}
    assert (found.reasons, found.remembered) == ({}, {})


@pytest.mark.parametrize("values", [(), (5,)])
def test_one_update_has_nobody_to_be_compared_with(values):
    """With fewer than two nothing is scored, and that is no failure."""
    found = scored(Own(lambda delta: delta[None]), *values)
    assert (found.scores, found.failed, found.reasons) == ({}, {}, {})
    assert scored(Own(lambda delta: delta[None])) == Scored()


def test_a_score_that_is_not_finite_is_a_failure():
    """Not a number and infinite scores are left out."""
    values = (3, math.nan, math.inf, 1)
    found = scored(Own(lambda delta: {"d": delta}, lambda f: f["d"][:, 0]), *values)
    assert found.scores == {0: 3.0, 6: 1.0}
    assert found.failed == dict.fromkeys((2, 4), "its score is not finite")


def test_a_row_that_is_not_finite_has_no_direction():
    """It becomes zeros, and the other rows of the client stay."""
    found = []

    def judge(features):
        found.append(features)
        return features.sum((1, 2))

    look = lambda delta: torch.stack([delta, torch.ones(2)])  # noqa: E731
    scored(Own(look, judge), math.inf, 2)
    expected = torch.tensor([[[0.0, 0.0], [1.0, 1.0]], [[2.0, 2.0], [1.0, 1.0]]])
    assert torch.equal(found[0], expected)


@pytest.mark.parametrize(
    ("look", "sensitivity"),
    [
        (lambda delta: torch.stack([delta, delta]), 0.0),
        (lambda delta: torch.stack([delta, -delta]), 1.0),
        (lambda delta: delta, None),
        (lambda delta: delta.sum(), None),
        (lambda delta: delta.reshape(2, 1, 1), 0.0),
    ],
    ids=["same rows", "opposite rows", "no rows", "a number", "more axes"],
)
def test_sensitivity_is_that_of_the_rows(look, sensitivity):
    """Where features have no rows for samples, there is nothing to measure."""
    found = scored(Own(look, lambda f: torch.arange(len(f))), 1, 2)
    assert found.sensitivity == sensitivity
    assert found.scores == {0: 0.0, 2: 1.0}


def test_sensitivity_may_be_measured_by_the_scoring():
    """The mean over the updates of what it gives by that name, or None."""
    judge = lambda features: features["d"][:, 0]  # noqa: E731
    told = Own(lambda d: {"d": d, "sensitivity": d[0] / 10}, judge)
    assert scored(told, 1, 2).sensitivity == pytest.approx(0.15)
    assert scored(Own(lambda d: {"d": d}, judge), 1, 2).sensitivity is None


def test_a_sensitivity_that_is_not_finite_is_none():
    """No audit log could hold it."""
    judge = lambda features: features["d"][:, 0]  # noqa: E731
    told = Own(lambda d: {"d": d, "sensitivity": d[0] / 0}, judge)
    assert scored(told, 1, 2).sensitivity is None


class Counting(Own):
    """Count how often each client was scored, and say so."""

    remembered = ("times",)

    def judge(self, features):
        """Add one to what is remembered."""
        times = features["times"] + 1
        reasons = [f"scored {number:g} times" for number in times]
        return Judgement(features["d"][:, 0], reasons, {"times": times})


def test_a_judgement_has_reasons_and_what_is_to_be_remembered():
    """At the clients' places; new clients have zeros."""
    counting = Counting(lambda delta: {"d": delta})
    past = {0: {"times": 4.0}, 4: {"other": 1.0}, 9: {"times": 2.0}}
    found = score(states(3, 1, 2), START, counting, None, past)
    assert found.scores == {0: 3.0, 2: 1.0, 4: 2.0}
    assert found.remembered == {0: {"times": 5}, 2: {"times": 1}, 4: {"times": 1}}
    assert found.reasons[0] == "scored 5 times"


def test_those_that_cannot_be_looked_at_are_not_remembered():
    """The others find their own numbers all the same."""

    def look(delta):
        if delta[0] == 1:
            raise RuntimeError
        return {"d": delta}

    past = {0: {"times": 4.0}, 2: {"times": 7.0}, 4: {"times": 6.0}}
    found = score(states(3, 1, 2), START, Counting(look), None, past)
    assert found.remembered == {0: {"times": 5}, 4: {"times": 7}}


def test_a_record_that_lacks_a_number_counts_for_nothing():
    """Another version of the scoring wrote it; half of it would mislead."""

    class More(Counting):
        """Remember another number too."""

        remembered = ("times", "more")

        def judge(self, features):
            """Give it back as it was."""
            judged = super().judge(features)
            more = {**judged.remembered, "more": features["more"]}
            return replace(judged, remembered=more)

    past = {0: {"times": 4.0}, 2: {"times": 4.0, "more": 3.0}}
    more = More(lambda delta: {"d": delta})
    found = score(states(3, 1), START, more, None, past)
    assert found.remembered == {
        0: {"times": 1, "more": 0},
        2: {"times": 5, "more": 3},
    }


def test_one_tensor_has_no_place_for_what_is_remembered():
    """The error says that features must have names."""
    with pytest.raises(InvalidArgumentError, match="`features` gives a dictionary"):
        scored(Counting(lambda delta: delta[None]), 1, 2)


def test_another_number_of_scores_is_an_error():
    """The error says how many there should be."""
    with pytest.raises(InvalidArgumentError, match=r"\(2,\), not \(1,\)"):
        scored(Own(lambda delta: delta[None], lambda f: f[:1, 0, 0]), 1, 2)


@pytest.mark.parametrize("scores", [[1.0, 2.0], None, {"scores": torch.ones(2)}])
def test_scores_that_are_no_tensor_are_an_error(scores):
    """The error says what was found instead."""
    says = f"a tensor of shape .2,., not {type(scores).__name__}"
    with pytest.raises(InvalidArgumentError, match=says):
        scored(Own(lambda delta: delta[None], lambda _: scores), 1, 2)


def test_a_judge_that_gives_no_judgement_is_an_error():
    """Scores alone are for `scores`."""

    class Scores(Counting):
        def judge(self, features):
            return features["d"][:, 0]

    with pytest.raises(InvalidArgumentError, match="a Judgement, not Tensor"):
        scored(Scores(lambda delta: {"d": delta}), 1, 2)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ((), "gives nothing to remember, not 'times'"),
        (("time",), "gives 'time' to remember, not 'times'"),
    ],
)
def test_numbers_to_remember_under_other_names_are_an_error(names, says):
    """They would be lost, or zero for ever, without a word."""
    counting = Counting(lambda delta: {"d": delta, "times": delta[0]})
    counting.remembered = names
    with pytest.raises(InvalidArgumentError, match=says):
        scored(counting, 1, 2)


def test_stacked_by_name():
    """Clients come first, for one tensor as for several."""
    rows = [{"a": torch.tensor(k), "b": torch.full((2,), k)} for k in (1, 2)]
    found = stacked(rows)
    assert_close(found["a"], torch.tensor([1, 2]))
    assert_close(found["b"], torch.tensor([[1, 1], [2, 2]]))
    assert_close(stacked([row["a"] for row in rows]), found["a"])
