"""Replays: the same arrays for another global state, and nothing else."""

import pytest
import torch

from flwr_vdcs.history import last_clients as memory
from flwr_vdcs.history.replays import Replays, fingerprint


def state(value: float, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    """Make a state of one matrix and one counter."""
    return {"w": torch.full((100, 100), value, dtype=dtype), "n": torch.tensor(3)}


def test_last_rounds_update_is_found():
    """It comes for a new global state, so it was not trained from it."""
    replays = Replays()
    assert replays.find(1, ["7", "8"], {0: state(1), 1: state(2)}, state(0)) == {}
    found = replays.find(2, ["8", "7"], {0: state(5), 1: state(1)}, state(0.5))
    assert found == {1: "it sent the same arrays in round 1"}


def test_it_stays_found():
    """A client that never sends anything else is refused again and again."""
    replays = Replays()
    for server_round in range(1, 5):
        found = replays.find(server_round, ["7"], {0: state(1)}, state(-server_round))
        assert bool(found) is (server_round > 1)


def test_the_same_training_is_no_replay():
    """After a round that kept the model, reproducible clients repeat themselves."""
    replays = Replays()
    for server_round in (1, 2):
        assert not replays.find(server_round, ["7"], {0: state(1)}, state(0))


def test_a_model_that_hardly_moved_trains_to_the_same():
    """A wide global state may change by less than the clients' dtype can show."""
    replays = Replays()
    for step in (0, 1e-9):
        moved = state(1 + step, torch.float64)
        assert not replays.find(1, ["7"], {0: state(2)}, moved)


def test_others_may_send_the_same():
    """Only what a client itself has sent counts."""
    replays = Replays()
    replays.find(1, ["7"], {0: state(1)}, state(0))
    assert not replays.find(2, ["8"], {0: state(1)}, state(0.5))


def test_those_that_sent_longest_ago_are_forgotten(monkeypatch):
    """However many clients come and go, the memory is bounded."""
    monkeypatch.setattr(memory, "MAX_CLIENTS", 2)
    replays = Replays()
    for place, client in enumerate("7879"):
        replays.find(1, [client], {0: state(place)}, state(0))
    found = replays.find(
        2, list("789"), {0: state(2), 1: state(1), 2: state(3)}, state(9)
    )
    assert found.keys() == {0, 2}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_dtype_has_a_fingerprint(dtype):
    """And it depends on the values."""
    assert fingerprint(state(1, dtype)) == fingerprint(state(1, dtype))
    assert fingerprint(state(1, dtype)) != fingerprint(state(1.5, dtype))


def test_small_arrays_are_compared_whole():
    """A change of one bias is enough."""
    one, other = torch.zeros(10), torch.zeros(10)
    other[7] = 1
    assert fingerprint({"b": one}) != fingerprint({"b": other})
