"""All that outlives a round: saved and resumed as one, after the aggregation."""

import json

import pytest
import torch
from flwr.serverapp.strategy import FedAvg

from flwr_vdcs import History, Reputation, VirtualConsistencyStrategy
from flwr_vdcs.errors import InvalidArgumentError, StateError
from tests.federation import (
    InProcessGrid,
    arrays_of,
    content,
    honest_client,
    honest_update,
    record_of,
    reversed_update,
    seeded,
)
from tests.models import batch_norm_cnn

NET = seeded(batch_norm_cnn)
NUM_CLIENTS = 6


def client(number, *, reverses=False):
    """Train a little differently in each round."""
    answers = iter(range(1000))

    def answer(body, message_type):
        if message_type != "train":
            return content()
        arrays = {key: array.numpy() for key, array in body["arrays"].items()}
        own = 100 * number + next(answers)
        return content((reversed_update if reverses else honest_update)(arrays, own))

    return answer


def grid():
    """Make a federation in which one client is malicious."""
    clients = {n: client(n, reverses=n == 1) for n in range(1, NUM_CLIENTS + 1)}
    return InProcessGrid(clients)


def plugin(inner=None, **options):
    """Wrap a strategy with the scoring that looks back."""
    settings = {
        "scoring": "hardened",
        "num_malicious": "auto",
        "reputation": Reputation(false_bans=0.01, parole=2),
        "seed": 0,
        **options,
    }
    return VirtualConsistencyStrategy(
        inner or FedAvg(min_available_nodes=NUM_CLIENTS),
        model=NET,
        input_shape=(1, 6, 6),
        num_virtual_samples=8,
        **settings,
    )


def decisions(*strategies):
    """Give all decisions of some strategies, one after the other."""
    return [report.decisions for each in strategies for report in each.reports]


def test_a_restart_changes_no_decision(tmp_path):
    """Six rounds in one run, or in three processes: the same to the last digit."""
    start, path = record_of(arrays_of(NET)), tmp_path / "state.json"
    whole, nodes = plugin(), grid()
    whole.start(nodes, start, num_rounds=6)

    parts, nodes, arrays = [], grid(), start
    for num_rounds in (1, 3, 2):
        parts.append(plugin(state_path=path))
        arrays = parts[-1].start(nodes, arrays, num_rounds=num_rounds).arrays
    assert decisions(*parts) == decisions(whole)
    assert parts[-1].state_dict(arrays=False) == whole.state_dict(arrays=False)
    assert any(d.verdict != "kept" for each in decisions(whole) for d in each)


@pytest.mark.parametrize("save_arrays", [True, False])
def test_what_grows_with_the_model_can_be_left_out(tmp_path, save_arrays):
    """There is one file then, and the momentum is forgotten."""
    path = tmp_path / "state.json"
    first = plugin(state_path=path, save_arrays=save_arrays)
    first.start(grid(), record_of(arrays_of(NET)), num_rounds=2)
    assert (
        len([*tmp_path.glob("*.json"), *tmp_path.glob("*.safetensors")])
        == 1 + save_arrays
    )
    second = plugin(state_path=path, save_arrays=save_arrays)
    assert bool(second.state_dict()["arrays"]) is save_arrays
    assert second.state_dict(arrays=False) == first.state_dict(arrays=False)


def test_a_replay_is_found_after_a_restart(tmp_path):
    """It was sent for another model, before the server was restarted."""
    start, path = arrays_of(NET), tmp_path / "state.json"
    fixed = content(honest_update(start, 5))

    def replaying(_body, message_type):
        return fixed if message_type == "train" else content()

    nodes, arrays = grid(), record_of(start)
    nodes.clients[5] = replaying
    for _ in range(2):
        strategy = plugin(state_path=path)
        arrays = strategy.start(nodes, arrays, num_rounds=1).arrays
    reasons = {d.client_id: d.reason for d in strategy.reports[0].decisions}
    assert reasons["5"] == "it sent the same arrays before the server was restarted"


class Looking(FedAvg):
    """Look at the saved state while aggregating, and fail in the third round."""

    def __init__(self, path):
        super().__init__(min_available_nodes=NUM_CLIENTS)
        self.path, self.seen = path, []

    def aggregate_train(self, server_round, replies):
        """Note how many rounds the state knows of."""
        exists = self.path.exists()
        state = json.loads(self.path.read_text())["state"] if exists else {}
        self.seen.append(state.get("num_rounds"))
        if server_round > 2:
            raise RuntimeError("out of luck")
        return super().aggregate_train(server_round, replies)


def test_it_is_saved_when_the_wrapped_strategy_has_aggregated(tmp_path):
    """A round that it could not aggregate has not happened."""
    path = tmp_path / "state.json"
    inner = Looking(path)
    strategy = plugin(inner, state_path=path)
    with pytest.raises(RuntimeError, match="out of luck"):
        strategy.start(grid(), record_of(arrays_of(NET)), num_rounds=3)
    assert inner.seen == [None, 1, 2]
    assert json.loads(path.read_text())["state"]["num_rounds"] == 2


def test_a_skipped_round_is_saved_too(tmp_path):
    """The wrapped strategy has nothing to aggregate in it."""
    path = tmp_path / "state.json"
    strategy = plugin(FedAvg(), state_path=path, num_malicious=1)
    nodes = InProcessGrid({n: honest_client(n) for n in (1, 2)})
    strategy.start(nodes, record_of(arrays_of(NET)), num_rounds=2)
    assert [report.skipped for report in strategy.reports] == [True, True]
    assert json.loads(path.read_text())["state"]["num_rounds"] == 2


def test_a_state_of_version_0_1_is_read(tmp_path):
    """Bans and evidence go on; what it did not have is as at the beginning."""
    path = tmp_path / "state.json"
    strategy = plugin(state_path=path, save_arrays=False)
    strategy.start(grid(), record_of(arrays_of(NET)), num_rounds=3)
    old = json.loads(path.read_text()) | {"format": "flwr-vdcs state 1"}
    del old["arrays"]
    path.write_text(json.dumps(old))
    resumed = plugin(state_path=path)
    assert resumed.state_dict(arrays=False) == strategy.state_dict(arrays=False)
    assert resumed.state_dict()["arrays"] == {}


def test_its_state_has_tensors_like_a_models():
    """A copy: what is done to it changes nothing."""
    strategy, other = plugin(), plugin()
    strategy.start(grid(), record_of(arrays_of(NET)), num_rounds=2)
    state = strategy.state_dict()
    kinds = {name.split("/")[0] for name in state["arrays"]}
    assert kinds == {"momentum", "last", "origin"}
    other.load_state_dict(state)
    for name, tensor in other.state_dict()["arrays"].items():
        assert torch.equal(tensor, state["arrays"][name])
    state["arrays"]["last/0.weight"].zero_()
    assert strategy.state_dict()["arrays"]["last/0.weight"].any()
    json.dumps(strategy.state_dict(arrays=False))


@pytest.mark.parametrize(
    "change",
    [
        {"arrays": {"momentum/w": torch.ones(2)}},
        {"arrays": None},
        {"replays": {"1": {"fingerprint": "a", "origin": "origin/0"}}},
        {"num_rounds": -1},
    ],
    ids=["momentum", "no arrays", "replays", "rounds"],
)
def test_a_broken_part_is_refused_whole(change):
    """Then nothing of it is taken over."""
    history = History()
    broken = {"num_rounds": 7, "clients": {}, "track_records": {}, **change}
    before = history.state_dict()
    with pytest.raises((AttributeError, KeyError, TypeError, ValueError)):
        history.load_state_dict(broken)
    assert history.state_dict() == before
    with pytest.raises(InvalidArgumentError, match="what `state_dict` returned"):
        plugin().load_state_dict(broken)


def test_arrays_of_something_else_stop_the_start(tmp_path):
    """The error names the state file."""
    path = tmp_path / "state.json"
    plugin(state_path=path).start(grid(), record_of(arrays_of(NET)), num_rounds=2)
    path.with_name("state.json.arrays-1.safetensors").write_bytes(b"nonsense")
    with pytest.raises(StateError, match=r"state\.json.*arrays-1.* damaged"):
        plugin(state_path=path)
