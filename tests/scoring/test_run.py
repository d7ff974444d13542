"""Admitted to scores: who can be scored, who is to blame, and what is noted."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from flwr_vdcs import Judgement, Scoring
from flwr_vdcs.admission import Update
from flwr_vdcs.errors import InvalidArgumentError, ScoringError
from flwr_vdcs.probe import Probe, RoundContext
from flwr_vdcs.scoring.looking import is_out_of_memory, is_servers_own
from flwr_vdcs.scoring.run import UNLIKE, Scored, score, stacked
from tests.candidates import candidates_of, numbers

START = numbers(0)[0]
SAMPLES = torch.zeros(2, 1)
PROBE = Probe(nn.Sequential(nn.Linear(1, 1)), SAMPLES, None, torch.device("cpu"))
CONTEXT = RoundContext(PROBE, SAMPLES, 0, START)


class Own(Scoring):
    """Score by what some functions say."""

    name = "own"

    def __init__(self, look, judge=lambda features: features.flatten(1)[:, 0]) -> None:
        self.look, self.count = look, judge

    def features(self, _context, global_state, update):
        """Look at the deviation."""
        return self.look(update["w"] - global_state["w"])

    def scores(self, features):
        """Judge all of them."""
        return self.count(features)


def scored(scoring, *values, past=()):
    """Score updates of those values without a model."""
    candidates = candidates_of(numbers(*values), START)
    for candidate, record in zip(candidates, past, strict=False):
        candidate.past = record
    return candidates, score(candidates, CONTEXT, scoring)


def of(candidates, part):
    """Give one part of each candidate."""
    return [getattr(each, part) for each in candidates]


def looked(look, *values):
    """Look at updates; give their scores and why others have none."""
    candidates, _ = scored(Own(look), *values)
    return of(candidates, "score"), of(candidates, "failure")


def fail_at(*refused):
    """Fail at updates of these numbers."""

    def look(values):
        if values[0] in refused:
            raise RuntimeError("what a client made it say")
        return values[None]

    return look


FAILED = "the model cannot run with it: RuntimeError"


def test_an_update_that_cannot_be_looked_at_fails_alone():
    """The others are seen; the reason names the error, not its text."""
    assert looked(fail_at(1), 3, 1, 2) == ([3.0, None, 2.0], ["", FAILED, ""])


def test_what_fails_for_the_global_model_too_is_nobodys_fault():
    """The error is shown with its traceback."""
    says = "scoring 'own' failed for all updates of a round.*RuntimeError"
    with pytest.raises(ScoringError, match=says) as caught:
        looked(fail_at(0, 1, 2, 3), 3, 1, 2)
    assert isinstance(caught.value.__cause__, RuntimeError)


@pytest.mark.parametrize("values", [(1,), (1, 2)])
def test_attackers_who_are_alone_cannot_end_the_run(values):
    """The global model can be looked at, so it is they who are to blame."""
    nothing = [None] * len(values)
    assert looked(fail_at(1, 2), *values) == (nothing, [FAILED] * len(values))


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError(
            "[enforce fail] . DefaultCPUAllocator: can't allocate memory: you"
        ),
        RuntimeError(
            "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"
        ),
    ],
    ids=["Python", "CUDA", "CPU", "cuBLAS"],
)
def test_want_of_memory_is_the_servers_own(error):
    """Whatever class PyTorch gives it; no other error is."""
    assert is_out_of_memory(error)
    assert is_servers_own(error)
    assert not is_servers_own(RuntimeError("index out of range"))
    failing = Own(lambda _: (_ for _ in ()).throw(error))
    candidates = candidates_of(numbers(1, 2), START)
    assert score(candidates, CONTEXT, failing).problem is error
    assert {each.failure for each in candidates} == {""}


def test_pytorch_says_so_when_the_cpu_has_no_memory():
    """More than any machine has."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(10**15)
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize(
    "unlike",
    [
        lambda values: values,
        lambda values: {"w": values[None]},
        lambda values: [values],
        lambda values: None,
        lambda values: {"": values[None]},
    ],
    ids=["another shape", "another name", "a list", "nothing", "no name"],
)
def test_features_unlike_the_others_fail_alone(unlike):
    """No client can end the round by what its features look like."""
    look = lambda values: unlike(values) if values[0] == 1 else values[None]  # noqa: E731
    assert looked(look, 3, 1, 2) == ([3.0, None, 2.0], ["", UNLIKE, ""])


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ([1.0, 2.0], "a dictionary of tensors, for each update, not list"),
        (None, "not NoneType"),
        ({"a": 1.0}, "not dict"),
        ({}, "not dict"),
    ],
)
def test_features_that_are_no_tensors_are_an_error(found, says):
    """It is the scoring's fault, if it does so for most."""
    with pytest.raises(InvalidArgumentError, match=says):
        looked(lambda _: found, 1, 2)


def test_scores_stand_with_their_updates():
    """Nothing else is noted."""
    candidates, _ = scored(Own(lambda delta: delta[None]), 3, 1, 2)
    assert of(candidates, "score") == [3.0, 1.0, 2.0]
    assert of(candidates, "failure") == of(candidates, "explanation") == [""] * 3
    assert of(candidates, "remembered") == [{}] * 3
    assert of(candidates, "norm") == [None] * 3


@pytest.mark.parametrize("values", [(), (5,)])
def test_one_update_has_nobody_to_be_compared_with(values):
    """With fewer than two nothing is scored, and that is no failure."""
    candidates, _ = scored(Own(lambda delta: delta[None]), *values)
    assert all(each.score is None and not each.failure for each in candidates)
    assert scored(Own(lambda delta: delta[None])) == ([], Scored())


def test_a_score_that_is_not_finite_is_a_failure():
    """Not a number and infinite scores are left out."""
    values = (3, math.nan, math.inf, 1)
    own = Own(lambda delta: {"d": delta}, lambda f: f["d"][:, 0])
    candidates, _ = scored(own, *values)
    assert of(candidates, "score") == [3.0, None, None, 1.0]
    failure = "its score is not finite"
    assert of(candidates, "failure") == ["", failure, failure, ""]


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
    candidates, found = scored(Own(look, lambda f: torch.arange(len(f))), 1, 2)
    assert found.sensitivity == sensitivity
    assert of(candidates, "score") == [0.0, 1.0]


def test_sensitivity_may_be_measured_by_the_scoring():
    """The mean over the updates of what it gives by that name, or None."""
    judge = lambda features: features["d"][:, 0]  # noqa: E731
    told = Own(lambda d: {"d": d, "sensitivity": d[0] / 10}, judge)
    assert scored(told, 1, 2)[1].sensitivity == pytest.approx(0.15)
    assert scored(Own(lambda d: {"d": d}, judge), 1, 2)[1].sensitivity is None


def test_a_sensitivity_that_is_not_finite_is_none():
    """No audit log could hold it."""
    judge = lambda features: features["d"][:, 0]  # noqa: E731
    told = Own(lambda d: {"d": d, "sensitivity": d[0] / 0}, judge)
    assert scored(told, 1, 2)[1].sensitivity is None


class Counting(Own):
    """Count how often each client was scored, and say so."""

    remembered = ("times",)

    def judge(self, features):
        """Add one to what is remembered."""
        times = features["times"] + 1
        reasons = [f"scored {number:g} times" for number in times]
        return Judgement(features["d"][:, 0], reasons, {"times": times})


def test_what_is_said_of_the_whole_round_is_passed_on():
    """Empty where the scoring says nothing, or nothing is scored."""
    own = Own(lambda step: step)
    own.judge = lambda found: Judgement(own.scores(found), note="nobody knows")
    assert scored(own, 1.0, 2.0)[1].note == "nobody knows"
    assert scored(own, 1.0)[1].note == ""
    assert scored(Own(lambda step: step), 1.0, 2.0)[1].note == ""


def test_a_judgement_has_reasons_and_what_is_to_be_remembered():
    """At the clients' places; new clients have zeros."""
    counting = Counting(lambda delta: {"d": delta})
    past = [{"times": 4.0}, {}, {"other": 1.0}]
    candidates, _ = scored(counting, 3, 1, 2, past=past)
    assert of(candidates, "score") == [3.0, 1.0, 2.0]
    assert of(candidates, "remembered") == [{"times": 5}, {"times": 1}, {"times": 1}]
    assert candidates[0].explanation == "scored 5 times"


def test_those_that_cannot_be_looked_at_are_not_remembered():
    """The others find their own numbers all the same."""

    def look(delta):
        if delta[0] == 1:
            raise RuntimeError
        return {"d": delta}

    past = [{"times": 4.0}, {"times": 7.0}, {"times": 6.0}]
    candidates, _ = scored(Counting(look), 3, 1, 2, past=past)
    assert of(candidates, "remembered") == [{"times": 5}, {}, {"times": 7}]


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

    past = [{"times": 4.0}, {"times": 4.0, "more": 3.0}]
    candidates, _ = scored(More(lambda delta: {"d": delta}), 3, 1, past=past)
    first, second = of(candidates, "remembered")
    assert first == {"times": 1, "more": 0}
    assert second == {"times": 5, "more": 3}


def test_norms_that_the_scoring_has_computed_are_noted():
    """They need not be computed again where updates are clipped."""

    class Measuring(Own):
        def judge(self, features):
            return Judgement(self.scores(features), norms=features[:, 0, 0].abs())

    candidates, _ = scored(Measuring(lambda delta: delta[None]), 3, -1)
    assert of(candidates, "norm") == [3.0, 1.0]


def test_a_client_is_compared_with_what_it_was_sent():
    """Two clients moved by 1, from different models."""
    candidates = candidates_of(numbers(1), START)
    candidates += candidates_of(numbers(6), numbers(5)[0])
    score(candidates, CONTEXT, Own(lambda delta: delta[None]))
    assert of(candidates, "score") == [1.0, 1.0]


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


@pytest.mark.parametrize(
    ("judged", "says"),
    [
        ({"reasons": ["only one"]}, "gives 2 reasons, or none, not 1"),
        ({"norms": torch.ones(3)}, r"norms as a tensor of shape \(2,\), not \(3,\)"),
        ({"remembered": {"n": torch.ones(1)}}, r"n as a tensor of shape \(2,\)"),
    ],
)
def test_what_a_judgement_says_is_said_of_every_client(judged, says):
    """Or nothing is noted at all."""

    class Half(Own):
        remembered = tuple(judged.get("remembered", ()))

        def judge(self, features):
            return Judgement(features["d"][:, 0], **judged)

    with pytest.raises(InvalidArgumentError, match=says):
        scored(Half(lambda delta: {"d": delta}), 1, 2)


def claims_seen(scoring, *claims):
    """Score clients who claim those numbers; give what the scoring was told."""
    candidates = candidates_of(numbers(*range(len(claims))), START)
    for candidate, claim in zip(candidates, claims, strict=True):
        candidate.update = Update(candidate.update.client_id, num_examples=claim)
    told = []
    scoring.count = lambda features: told.append(features) or features["d"][:, 0]
    score(candidates, CONTEXT, scoring)
    return told[0].get("num_examples")


def test_a_scoring_is_told_the_claims_it_asks_for():
    """Not a number where none are claimed; nothing if it does not ask."""
    asking, other = Own(lambda d: {"d": d}), Own(lambda d: {"d": d})
    asking.needs_num_examples = True
    found = claims_seen(asking, 10, None, 2.5)
    assert found.dtype == torch.float64
    expected = torch.tensor([10.0, math.nan, 2.5], dtype=torch.float64)
    assert_close(found, expected, equal_nan=True)
    assert claims_seen(other, 10, 20) is None


class Sharing(Own):
    """Let shares of the only array go on."""

    def __init__(self, shares):
        super().__init__(lambda delta: {"d": delta})
        self.shares = shares

    def judge(self, features):
        """Say how much goes on."""
        return Judgement(features["d"][:, 0], shares=self.shares)


def test_shares_below_1_stand_with_their_updates():
    """Of arrays that go on as they are nothing is noted."""
    candidates, _ = scored(Sharing(torch.tensor([[0.25], [1.0], [0.0]])), 1, 2, 3)
    assert of(candidates, "shares") == [{"w": 0.25}, {}, {"w": 0.0}]


@pytest.mark.parametrize(
    ("shares", "says"),
    [
        (torch.ones(2), r"shape \(2, 1\), not \(2,\)"),
        (torch.ones(3, 1), r"shape \(2, 1\), not \(3, 1\)"),
        (torch.ones(2, 2), r"shape \(2, 1\), not \(2, 2\)"),
        ([[1.0], [1.0]], r"shape \(2, 1\), not list"),
        (torch.full((2, 1), 1.5), "shares from 0 to 1"),
        (torch.full((2, 1), -0.5), "shares from 0 to 1"),
        (torch.full((2, 1), math.nan), "shares from 0 to 1"),
    ],
)
def test_wrong_shares_are_an_error(shares, says):
    """It says what was given and what is allowed."""
    with pytest.raises(InvalidArgumentError, match=says):
        scored(Sharing(shares), 1, 2)
