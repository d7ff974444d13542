"""Kept to bounded: how long an update may be, and what a shortened one is."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from flwr_vdcs.decision.clipping import shares_allowed, shortened

START = {
    "weight": torch.tensor([[1.0, 2.0], [0.0, -1.0]]),
    "bias": torch.tensor([0.5, 0.0]),
    "running_var": torch.tensor([1.0, 4.0]),
    "count": torch.tensor(7),
}
PARAMETERS = ("weight", "bias")

lengths = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=9)


def update_of(length, seed=0):
    """Go that far in a random direction of the parameters, in float64."""
    generator = torch.Generator().manual_seed(seed)
    steps = [
        torch.randn(START[n].shape, generator=generator).double() for n in PARAMETERS
    ]
    total = math.sqrt(sum(step.square().sum().item() for step in steps))
    moved = {
        n: START[n].double() + step * (length / total)
        for n, step in zip(PARAMETERS, steps, strict=True)
    }
    return {**moved, "running_var": torch.tensor([2.0, 2.0]), "count": torch.tensor(9)}


def literal_length(update):
    """Measure how far the parameters are, one number at a time."""
    return math.sqrt(
        math.fsum(
            (a - b) ** 2
            for n in PARAMETERS
            for a, b in zip(
                update[n].double().flatten().tolist(),
                START[n].double().flatten().tolist(),
                strict=True,
            )
        )
    )


def literal_median(values):
    """Take the middle one, or the mean of the two in the middle."""
    values = sorted(values)
    return (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2


def test_hand_worked_example():
    """Of lengths 1, 1, 3, 1 and 8 the median is 1, so 2/3 and 2/8 are allowed."""
    states = {p: update_of(length) for p, length in enumerate((1, 1, 3, 1, 8))}
    shares = shares_allowed(states, START, PARAMETERS, 2.0)
    assert shares == pytest.approx({2: 2 / 3, 4: 1 / 4})


def test_infinite_values_that_nobody_changed_stay():
    """As in a mask: on the way from -inf to -inf there is nothing else."""
    start = {"mask": torch.tensor([-math.inf, 0.0, 2.0])}
    update = {"mask": torch.tensor([-math.inf, 0.0, 4.0])}
    assert shortened(update, start, 0.5)["mask"].tolist() == [-math.inf, 0.0, 3.0]


@given(lengths=lengths, max_update=st.floats(1, 4))
def test_shortened_updates_have_the_longest_length_allowed(lengths, max_update):
    """Exactly those that are longer are shortened, and to the limit."""
    states = {p: update_of(length, p) for p, length in enumerate(lengths)}
    longest = max_update * literal_median([literal_length(s) for s in states.values()])
    shares = shares_allowed(states, START, PARAMETERS, max_update)
    for place, state in states.items():
        if place in shares:
            assert 0 < shares[place] < 1
            length = literal_length(shortened(state, START, shares[place]))
            assert length == pytest.approx(longest)
        else:
            assert literal_length(state) <= longest * (1 + 1e-12)


@pytest.mark.parametrize("length", [0.1, 0.7, 1 / 3, 1e-6, 12345.678])
def test_an_update_at_the_limit_is_not_shortened(length):
    """The limit itself is allowed: medians are not rounded to float32."""
    states = {p: update_of(length) for p in range(4)}
    assert not shares_allowed(states, START, PARAMETERS, 1.0)


def test_only_the_named_parameters_count():
    """Buffers may move as they like."""
    states = {p: update_of(1.0, p) for p in range(3)}
    states[1]["running_var"] = torch.tensor([1e6, 1e6])
    assert not shares_allowed(states, START, PARAMETERS, 2.0)
    assert shares_allowed(states, START, ("running_var",), 2.0).keys() == {1}


def test_counters_are_no_parameters():
    """Arrays of integers have no length, and names that are not sent neither."""
    states = {p: {"count": torch.tensor(p * 100)} for p in range(3)}
    assert not shares_allowed(states, START, ("count", "absent"), 2.0)


def test_no_updates_have_no_shares():
    """A round in which nobody was admitted is no error."""
    assert shares_allowed({}, START, PARAMETERS, 2.0) == {}


def test_goes_a_share_of_the_way_and_leaves_counters():
    """A quarter of the way, buffers included; integers stay the client's."""
    update = update_of(4.0)
    found = shortened(update, START, 0.25)
    assert list(found) == list(update)
    assert found["count"] is update["count"]
    assert_close(found["running_var"], torch.tensor([1.25, 3.5]))
    for name in PARAMETERS:
        start = START[name].double()
        assert_close(found[name], start + 0.25 * (update[name] - start))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_keeps_the_dtype_of_the_update(dtype):
    """The wrapped strategy gets what it would have got, in another length."""
    state = {name: value.to(dtype) for name, value in START.items()}
    found = shortened(state, START, 0.5)
    assert {value.dtype for value in found.values()} == {dtype}
    for name, value in found.items():
        assert torch.equal(value, state[name])
