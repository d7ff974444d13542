"""Kept to bounded: how long an update may be, and what a shortened one is."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flwr_vdcs.decision.clipping import (
    ARRAYS_CLIPPED,
    CLIPPED,
    clip,
    clip_arrays,
    clipped,
    update_norm,
)
from tests.candidates import candidates_of

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


def clipped_round(updates, names=PARAMETERS, max_update=2.0):
    """Clip a round; give the candidates."""
    candidates = candidates_of(updates, START)
    clip(candidates, names, max_update)
    return candidates


def changed(candidates) -> set[int]:
    """Name the places of updates that were clipped, which have a reason."""
    assert all(each.is_changed == (each.reason == CLIPPED) for each in candidates)
    return {place for place, each in enumerate(candidates) if each.is_changed}


def test_hand_worked_example():
    """Of lengths 1, 1, 3, 1 and 8 the median is 1, so two are clipped to 2."""
    candidates = clipped_round([update_of(length) for length in (1, 1, 3, 1, 8)])
    assert changed(candidates) == {2, 4}
    norms = [literal_length(each.state) for each in candidates]
    assert norms == pytest.approx([1, 1, 2, 1, 2])


def test_infinite_values_that_nobody_changed_stay():
    """As in a mask: on the way from -inf to -inf there is nothing else."""
    start = {"mask": torch.tensor([-math.inf, 0.0, 2.0])}
    update = {"mask": torch.tensor([-math.inf, 0.0, 4.0])}
    assert clipped(update, start, 0.5)["mask"].tolist() == [-math.inf, 0.0, 3.0]


@given(lengths=lengths, max_update=st.floats(1, 4))
def test_clipped_updates_have_the_longest_length_allowed(lengths, max_update):
    """Exactly those that are longer are clipped, and to the limit."""
    updates = [update_of(length, place) for place, length in enumerate(lengths)]
    longest = max_update * literal_median(list(map(literal_length, updates)))
    candidates = clipped_round(updates, max_update=max_update)
    places = changed(candidates)
    for place, (update, each) in enumerate(zip(updates, candidates, strict=True)):
        if place in places:
            assert literal_length(each.state) == pytest.approx(longest)
        else:
            assert literal_length(update) <= longest * (1 + 1e-12)
            assert each.state is update


@pytest.mark.parametrize("length", [0.1, 0.7, 1 / 3, 1e-6, 12345.678])
def test_an_update_at_the_limit_is_not_clipped(length):
    """The limit itself is allowed: medians are not rounded to float32."""
    assert not changed(clipped_round([update_of(length)] * 4, max_update=1.0))


def test_only_the_named_parameters_count():
    """Buffers may move as they like."""
    updates = [update_of(1.0, place) for place in range(3)]
    updates[1]["running_var"] = torch.tensor([1e6, 1e6])
    assert not changed(clipped_round(updates))
    assert changed(clipped_round(updates, ("running_var",))) == {1}


def test_a_client_is_clipped_towards_what_it_was_sent():
    """Not towards what the others were."""
    own = {name: tensor + 1 for name, tensor in START.items()}
    sent = {name: tensor + 1 for name, tensor in update_of(8.0).items()}
    candidates = candidates_of([update_of(1.0)] * 4, START) + candidates_of([sent], own)
    clip(candidates, PARAMETERS, 2.0)
    assert changed(candidates) == {4}
    back = {name: tensor - 1 for name, tensor in candidates[4].state.items()}
    assert literal_length(back) == pytest.approx(2.0)


def test_only_kept_updates_are_clipped():
    """A dropped one goes nowhere, but its length counts for the median."""
    candidates = candidates_of([update_of(n) for n in (1, 1, 8, 8, 8)], START)
    candidates[4].verdict = "dropped"
    clip(candidates, PARAMETERS, 2.0)
    assert not changed(candidates)


def test_a_norm_that_scoring_has_computed_is_taken():
    """It is computed once a round."""
    candidates = candidates_of([update_of(1.0)] * 3, START)
    for each, norm in zip(candidates, (1.0, 1.0, 4.0), strict=True):
        each.norm = norm
    clip(candidates, PARAMETERS, 2.0)
    assert changed(candidates) == {2}
    assert literal_length(candidates[2].state) == pytest.approx(0.5)


def test_counters_are_no_parameters():
    """Arrays of integers have no length, and names that are not sent neither."""
    state = {"count": torch.tensor(100)}
    assert update_norm(state, START, ("count", "absent")) == 0


def test_no_updates_are_no_error():
    """A round in which nobody was admitted."""
    assert clipped_round([]) == []


def test_arrays_are_clipped_by_hand():
    """A quarter of a step of 4 goes on in one array; others and counters stay."""
    update = {**START, "bias": START["bias"] + 4, "count": torch.tensor(9)}
    [each] = candidates_of([update], START)
    each.shares = {"bias": 0.25}
    clip_arrays([each])
    assert each.state["bias"].tolist() == [1.5, 1.0]
    assert each.state["count"] == 9
    assert each.state["weight"] is update["weight"]
    assert (each.is_changed, each.reason) == (True, ARRAYS_CLIPPED)


@pytest.mark.parametrize("verdict", ["kept", "dropped"])
def test_arrays_of_which_all_goes_on_stay_bit_for_bit(verdict):
    """So do those of updates that go nowhere."""
    [each] = candidates_of([update_of(3.0)], START)
    each.verdict, each.shares = verdict, {} if verdict == "kept" else {"bias": 0.5}
    before = each.state
    clip_arrays([each])
    assert each.state is before
    assert not each.is_changed
