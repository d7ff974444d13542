"""Availability: who answers with errors rests, without blame."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flwr_vdcs import History, Reputation
from flwr_vdcs.history.availability import LONGEST_REST, Availability

ALL = {"a", "b", "c", "d", "e"}


def rounds_asked(num_rounds: int) -> list[int]:
    """List the rounds in which a client that always fails is asked."""
    known, asked = Availability(), []
    for number in range(num_rounds):
        if "a" in known.absent(ALL, number):
            known.note((), ALL - {"a"}, number + 1)
        else:
            asked.append(number)
            known.note({"a"}, ALL - {"a"}, number + 1)
    return asked


def test_rests_double_after_three_errors():
    """By hand: asked in rounds 0, 1, 2; one off, then two, four, eight."""
    assert rounds_asked(36) == [0, 1, 2, 4, 7, 12, 21]


def test_no_rest_is_endless():
    """It is asked again after 64 rounds at most."""
    asked = rounds_asked(1000)
    gaps = [later - earlier for earlier, later in pairwise(asked)]
    assert max(gaps) == LONGEST_REST + 1


def test_an_answer_ends_it():
    """Two errors, an answer and two errors are no three in a row."""
    known = Availability()
    for failed in ({"a"}, {"a"}, set(), {"a"}, {"a"}):
        known.note(failed, ALL - failed, 5)
    assert known.absent(ALL, 5) == {}
    known.note({"a"}, ALL - {"a"}, 5)
    assert known.absent(ALL, 5) == {
        "a": "it answered with an error 3 times in a row, asked again in 1 rounds"
    }


@given(st.lists(st.sampled_from(sorted(ALL)), min_size=3, max_size=5, unique=True))
def test_where_half_fail_it_is_nobodys_doing(failed):
    """A network that is down, or a set-up that cannot work."""
    known = Availability()
    for number in range(20):
        known.note(set(failed), ALL - set(failed), number)
    assert known.absent(ALL, 20) == {}


def test_it_outlives_a_restart():
    """In the state, from which it is read again."""
    first, second = History(Reputation()), History(Reputation())
    for number in range(3):
        first.availability.note({"a"}, ALL - {"a"}, number + 1)
    second.load_state_dict(first.state_dict())
    assert second.state_dict() == first.state_dict()
    assert second.availability.absent(ALL, 3).keys() == {"a"}


def test_nobody_rests_without_reputation():
    """Then all are asked in every round."""
    history = History()
    for number in range(5):
        history.availability.note({"a"}, ALL - {"a"}, number)
    assert history.absent(ALL) == {}


def test_a_pardon_ends_a_rest():
    """As the hospital has mended its software."""
    history = History(Reputation())
    for number in range(3):
        history.availability.note({"a"}, ALL - {"a"}, number + 1)
    assert history.pardon("a")
    assert history.absent(ALL) == {}
    assert not history.pardon("a")


@pytest.mark.parametrize(
    "fields", [{"num_errors": -1}, {"back": 1.5}, {"back": 2**60}, {"other": 1}, []]
)
def test_something_else_is_no_state(fields):
    """And changes nothing."""
    known = Availability()
    with pytest.raises((AttributeError, TypeError, ValueError)):
        known.load_state_dict({"a": fields})
    assert known.state_dict() == {}
