"""Replays: the same arrays for another global state, and nothing else."""

import pytest
import torch

from flwr_vdcs.admission import Candidate, Update
from flwr_vdcs.history import _last_clients as memory
from flwr_vdcs.history.replays import Replays, fingerprint
from tests.candidates import start_of


def state(value: float, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    """Make a state of one matrix and one counter."""
    return {"w": torch.full((100, 100), value, dtype=dtype), "n": torch.tensor(3)}


def replayed(replays, server_round, sent, start) -> dict[str, str]:
    """Let clients send states, and give those that are refused with the reasons."""
    common = start_of(start)
    candidates = [Candidate(Update(c), common, s) for c, s in sent.items()]
    replays.quarantine(server_round, candidates, {"w"})
    return {
        each.update.client_id: each.reason
        for each in candidates
        if each.verdict == "quarantined"
    }


def test_last_rounds_update_is_found():
    """It comes for a new global state, so it was not trained from it."""
    replays = Replays()
    assert replayed(replays, 1, {"7": state(1), "8": state(2)}, state(0)) == {}
    found = replayed(replays, 2, {"8": state(5), "7": state(1)}, state(0.5))
    assert found == {"7": "it sent the same arrays in round 1"}


def test_it_stays_found():
    """A client that never sends anything else is refused again and again."""
    replays = Replays()
    for server_round in range(1, 5):
        found = replayed(replays, server_round, {"7": state(1)}, state(-server_round))
        assert bool(found) is (server_round > 1)


def test_the_same_training_is_no_replay():
    """After a round that kept the model, reproducible clients repeat themselves."""
    replays = Replays()
    for server_round in (1, 2):
        assert not replayed(replays, server_round, {"7": state(1)}, state(0))


def test_a_model_that_hardly_moved_trains_to_the_same():
    """A wide global state may change by less than the clients' dtype can show."""
    replays = Replays()
    for step in (0, 1e-9):
        moved = state(1 + step, torch.float64)
        assert not replayed(replays, 1, {"7": state(2)}, moved)


def test_others_may_send_the_same():
    """Only what a client itself has sent counts."""
    replays = Replays()
    replayed(replays, 1, {"7": state(1)}, state(0))
    assert not replayed(replays, 2, {"8": state(1)}, state(0.5))


def test_those_that_sent_longest_ago_are_forgotten(monkeypatch):
    """However many clients come and go, the memory is bounded."""
    monkeypatch.setattr(memory, "MAX_CLIENTS", 2)
    replays = Replays()
    for place, client in enumerate("7879"):
        replayed(replays, 1, {client: state(place)}, state(0))
    sent = {"7": state(2), "8": state(1), "9": state(3)}
    assert replayed(replays, 2, sent, state(9)).keys() == {"7", "9"}


def test_a_restart_finds_them_too():
    """Each global model is saved once, however many clients were sent it."""
    replays, again = Replays(), Replays()
    replayed(replays, 1, {"7": state(1), "8": state(2)}, state(0))
    replayed(replays, 2, {"8": state(3)}, state(0.5))
    plain, origins = replays.state_dict()
    assert len(origins) == 2
    again.load_state_dict(plain, origins)
    found = replayed(again, 1, {"7": state(1), "8": state(4)}, state(0.5))
    assert found == {"7": "it sent the same arrays before the server was restarted"}


def test_a_restart_with_another_model_finds_nothing_odd():
    """Another number of parameters is another global model."""
    replays = Replays()
    replayed(replays, 1, {"7": state(1)}, state(0))
    small = {"w": torch.zeros(2), "n": torch.tensor(3)}
    assert "in round 1" in replayed(replays, 2, {"7": state(1)}, small)["7"]


@pytest.mark.parametrize(
    ("plain", "arrays"),
    [
        ({"7": {"fingerprint": "ab", "origin": "origin/0"}}, {}),
        ({"7": {"fingerprint": 3, "origin": "origin/0"}}, {"origin/0": torch.ones(2)}),
        (
            {"7": {"fingerprint": "ab", "origin": "origin/0"}},
            {"origin/0": torch.ones(2, 2)},
        ),
        ({"7": "ab"}, {}),
        ([], {}),
    ],
    ids=["no origin", "no text", "no row", "no fields", "no clients"],
)
def test_what_is_no_state_is_refused(plain, arrays):
    """And changes nothing."""
    replays = Replays()
    replayed(replays, 1, {"7": state(1)}, state(0))
    with pytest.raises((AttributeError, KeyError, TypeError, ValueError)):
        replays.load_state_dict(plain, arrays)
    assert replayed(replays, 2, {"7": state(1)}, state(0.5))


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
