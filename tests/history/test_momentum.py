"""Global states to momentum: against the definition, by hand, and its edges."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from flwr.serverapp.strategy import FedAvg
from hypothesis import given
from hypothesis import strategies as st

from flwr_vdcs.history.momentum import DECAY, Momentum
from flwr_vdcs.scoring.hardened import HardenedScoring
from tests.benchmarks.faults.plugin import NET, START, protected
from tests.federation import InProcessGrid, configured, honest_client, record_of

steps = st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=8)


def states(*values: float) -> list[dict]:
    """Make a state of each number."""
    return [{"weight": torch.tensor([float(value), -value])} for value in values]


def follow(some_states) -> dict:
    """Follow some states and give the momentum at the last."""
    momentum = Momentum()
    for state in some_states:
        momentum.follow(state)
    return momentum.state


def test_hand_worked_example():
    """Steps of 2 and 1: the first counts 0.95 times in the second round after it."""
    assert follow(states(1.0)) == {}
    torch.testing.assert_close(follow(states(1, 3))["weight"], torch.tensor([2.0, -2]))
    expected = torch.tensor([2.9, -2.9])
    torch.testing.assert_close(follow(states(1, 3, 4))["weight"], expected)


@given(walked=steps)
def test_is_the_discounted_sum_of_steps_and_the_distance_from_a_moving_average(walked):
    """Both are written out one number at a time."""
    found = follow(states(*walked))["weight"][0].item()
    moves = [b - a for a, b in pairwise(walked)]
    discounted = sum(m * DECAY**age for age, m in enumerate(reversed(moves)))
    assert found == pytest.approx(discounted, abs=1e-5)
    average = walked[0]
    for value in walked[:-1]:
        average = DECAY * average + (1 - DECAY) * value
    assert found == pytest.approx(walked[-1] - average, abs=1e-5)


def test_a_round_that_changes_nothing_does_not_turn_it():
    """The momentum only gets shorter."""
    before, after = follow(states(1, 3)), follow(states(1, 3, 3))
    torch.testing.assert_close(after["weight"], DECAY * before["weight"])


def test_follows_real_numbers_and_leaves_the_states_alone():
    """Not integers; half precision is widened."""
    first = {
        "weight": torch.zeros(2, dtype=torch.float16),
        "bias": torch.zeros(2, dtype=torch.int64),
    }
    second = {name: value + 1 for name, value in first.items()}
    found = follow([first, second, second])
    assert found.keys() == {"weight"}
    assert found["weight"].dtype == torch.float32
    assert not first["weight"].any()
    assert second["weight"].eq(1).all()


def test_a_parameter_that_was_not_sent_starts_anew():
    """Its momentum is that of the steps seen since."""
    both = [{**s, "bias": s["weight"].clone()} for s in states(1, 3, 7, 8)]
    only = [{"weight": s["weight"]} for s in both]
    found = follow([both[0], both[1], only[2], both[3]])
    assert found.keys() == {"weight"}
    assert follow([only[0], only[1], both[2], both[3]])["bias"].tolist() == [1, -1]


def test_a_model_of_another_shape_starts_anew():
    """After a restart with another model there is no step to take."""
    momentum = Momentum()
    for state in states(1, 3):
        momentum.follow(state)
    momentum.follow({"weight": torch.ones(5)})
    assert momentum.state == {}
    momentum.follow({"weight": torch.full((5,), 2.0)})
    assert momentum.state["weight"].tolist() == [1.0] * 5


def test_a_state_goes_on_where_it_was():
    """What is given and taken are copies, as the momentum is changed in place."""
    momentum, again = Momentum(), Momentum()
    for state in states(1, 3):
        momentum.follow(state)
    again.load_state_dict(momentum.state_dict())
    momentum.follow(states(9)[0])
    again.follow(states(4)[0])
    torch.testing.assert_close(again.state["weight"], torch.tensor([2.9, -2.9]))


@pytest.mark.parametrize(
    "arrays",
    [
        {"momentum/w": torch.ones(2)},
        {"momentum/w": torch.ones(2), "last/w": torch.ones(3)},
        {"momentum/w": torch.ones(2, dtype=torch.int64), "last/w": torch.ones(2)},
    ],
    ids=["no parameter", "another shape", "integers"],
)
def test_what_is_no_state_is_refused(arrays):
    """And changes nothing."""
    momentum = Momentum()
    for state in states(1, 3):
        momentum.follow(state)
    with pytest.raises((KeyError, ValueError)):
        momentum.load_state_dict(arrays)
    assert momentum.state["weight"].tolist() == [2.0, -2.0]


class Watching(HardenedScoring):
    """Note what the round knows of the way."""

    def __init__(self) -> None:
        self.seen: list[dict] = []

    def features(self, context, global_state, update):
        """Keep a copy of the momentum, once a client."""
        self.seen.append({n: v.clone() for n, v in context.momentum.items()})
        return super().features(context, global_state, update)


def test_a_scoring_sees_the_way_of_the_global_model():
    """Nothing in the first round, then the step of the round before."""
    watching = Watching()
    strategy = protected(FedAvg(), num_malicious=0, scoring=watching)
    grid = InProcessGrid({node: honest_client(node) for node in range(3)})
    result = strategy.start(grid, record_of(START), num_rounds=2)
    assert not any(watching.seen[:3])
    second = watching.seen[3]
    assert second.keys() == dict(NET.named_parameters()).keys()
    assert all(value.any() for value in second.values())
    assert result.arrays


class Widening(FedAvg):
    """Turns the model into float64 after the second round."""

    def aggregate_train(self, server_round, replies):
        """Average as ever, and widen."""
        arrays, metrics = super().aggregate_train(server_round, replies)
        if server_round > 1:
            wide = {k: a.numpy().astype(np.float64) for k, a in arrays.items()}
            arrays = record_of(wide)
        return arrays, metrics


def test_the_global_model_may_change_its_precision():
    """The momentum is in float32 then, and nobody is quarantined for that."""
    inner = Widening(min_available_nodes=3)
    strategy = protected(inner, num_malicious="auto", scoring="hardened")
    grid = InProcessGrid({node: honest_client(node) for node in range(3)})
    strategy.start(grid, record_of(START), num_rounds=4)
    assert [report.num_quarantined for report in strategy.reports] == [0] * 4


@pytest.mark.parametrize("scoring", ["paper", "hardened"])
def test_it_is_kept_only_where_it_is_looked_at(scoring):
    """The published score does without that memory."""
    strategy = protected(FedAvg(), num_malicious=1, scoring=scoring)
    for step in (0, 1):
        moved = {k: np.asarray(v + step, v.dtype) for k, v in START.items()}
        configured(strategy, moved)
    followed = {n for n in strategy.state_dict()["arrays"] if n.startswith("momentum/")}
    names = {f"momentum/{n}" for n, _ in NET.named_parameters()}
    assert followed == (names if scoring == "hardened" else set())
