"""Clients that send how far they went: they are judged as if they had sent weights."""

import flwr.serverapp.strategy as message
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flwr_vdcs import VirtualConsistencyStrategy
from flwr_vdcs.admission._differences import add_differences, as_difference
from tests.admission.lies import NET, START
from tests.candidates import candidates_of, numbers
from tests.federation import configured, content, honest_update, reply, reversed_update


def states_of(candidates):
    """Give the first number of each state."""
    return [each.state["w"][0].item() for each in candidates]


def test_differences_of_most_clients_are_added():
    """By hand: 10 + 1, 10 + 2, and of the one who sent a weight 10 + 12."""
    candidates = candidates_of(numbers(1, 2, 12), numbers(10)[0])
    assert add_differences(candidates)
    assert states_of(candidates) == [11, 12, 22]
    back = as_difference(candidates[0].state, candidates[0].start.state)
    assert back["w"][0] == 1


def test_a_minority_changes_nothing():
    """Half of the clients are no majority."""
    candidates = candidates_of(numbers(1, 1, 11, 12), numbers(10)[0])
    assert not add_differences(candidates)
    assert states_of(candidates) == [1, 1, 11, 12]


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=9))
def test_weights_that_moved_by_less_than_a_third_are_weights(steps):
    """Whatever way they moved."""
    candidates = candidates_of(numbers(*[10 + step for step in steps]), numbers(10)[0])
    assert not add_differences(candidates)


def test_a_model_of_zeros_has_no_differences():
    """There, weights and differences are the same."""
    assert not add_differences(candidates_of(numbers(1, 2, 3), numbers(0)[0]))


class Adding(message.FedAvg):
    """A strategy that adds the mean of what it gets to the model."""

    seen: list


def difference(arrays, client):
    """Send how far a client went; the sixth works against the others, fivefold."""
    moved = honest_update(arrays, client)
    if client == 5:
        moved = reversed_update(arrays, client)
    scale = 5 if client == 5 else 1
    return {
        key: np.asarray(scale * (moved[key] - values)).astype(values.dtype)
        for key, values in arrays.items()
    }


@pytest.mark.parametrize("num_malicious", [1, "auto"])
def test_a_reversed_difference_is_found(num_malicious, flower_log):
    """The others go on as they came, running variances below zero included."""
    strategy = VirtualConsistencyStrategy(
        message.FedAvg(),
        model=NET,
        input_shape=(1, 6, 6),
        num_malicious=num_malicious,
        seed=0,
    )
    sent = [difference(START, client) for client in range(6)]
    replies = [reply(c, content(arrays)) for c, arrays in enumerate(sent)]
    found, _ = configured(strategy, START).aggregate_train(1, replies)
    verdicts = [each.verdict for each in strategy.reports[0].decisions]
    assert verdicts == ["kept"] * 5 + ["dropped"]
    mean = np.mean([arrays["0.weight"] for arrays in sent[:5]], axis=0)
    assert np.allclose(found["0.weight"].numpy(), mean, atol=0.01)
    assert "how far they went" in flower_log.text


def test_what_is_true_or_false_has_no_differences():
    """A mask stays what it is."""
    start = {"w": torch.full((2,), 10.0), "mask": torch.tensor([True, False])}
    sent = {"w": torch.ones(2), "mask": torch.tensor([True, True])}
    [candidate] = candidates_of([sent], start)
    assert add_differences([candidate])
    assert candidate.state["mask"].tolist() == [True, True]
    assert as_difference(candidate.state, start)["mask"].tolist() == [True, True]
