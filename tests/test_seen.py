"""Admitted to seen: whose features can be scored together, and who is to blame."""

import pytest
import torch

from flwr_vdcs.errors import InvalidArgumentError, ScoringError
from flwr_vdcs.seen import look_at

START = {"w": torch.zeros(2)}


class Looking:
    """Look at updates through a function."""

    name = "looking"

    def __init__(self, look) -> None:
        self.look = look

    def features(self, _probe, _global_state, update):
        """Look at the one array."""
        return self.look(update["w"])

    def scores(self, features):
        """Be unused here."""
        raise NotImplementedError


def looked(look, *values):
    """Look at updates of two equal numbers each."""
    states = {
        place: {"w": torch.full((2,), float(v))} for place, v in enumerate(values)
    }
    return look_at(states, START, Looking(look), None)


def fail_at(*numbers):
    """Fail at updates of these numbers."""

    def look(values):
        if values[0] in numbers:
            raise RuntimeError("what a client made it say")
        return values[None]

    return look


def test_an_update_that_cannot_be_looked_at_fails_alone():
    """The others are seen; the reason names the error, not its text."""
    seen, failed = looked(fail_at(1), 3, 1, 2)
    assert {place: f[0, 0].item() for place, f in seen.items()} == {0: 3.0, 2: 2.0}
    assert failed == {1: "the model cannot run with it: RuntimeError"}


def test_what_fails_for_everybody_is_nobodys_fault():
    """The first error is shown with its traceback."""
    says = "scoring 'looking' failed for all 3 updates of a round.*RuntimeError"
    with pytest.raises(ScoringError, match=says) as caught:
        looked(fail_at(1, 2, 3), 3, 1, 2)
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_a_single_update_may_be_to_blame():
    """Nothing tells then whether the scoring is."""
    assert looked(fail_at(1), 1) == (
        {},
        {0: "the model cannot run with it: RuntimeError"},
    )
    assert looked(fail_at(1)) == ({}, {})


@pytest.mark.parametrize(
    "unlike",
    [
        lambda values: values,
        lambda values: {"w": values[None]},
        lambda values: [values],
        lambda values: None,
        lambda values: {"": values[None], "more": values},
    ],
    ids=["another shape", "another name", "a list", "nothing", "more"],
)
def test_features_unlike_the_others_fail_alone(unlike):
    """No client can end the round by what its features look like."""
    look = lambda values: unlike(values) if values[0] == 1 else values[None]  # noqa: E731
    seen, failed = looked(look, 3, 1, 2)
    assert list(seen) == [0, 2]
    assert failed == {1: "its features have other shapes than the others'"}


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
