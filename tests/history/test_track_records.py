"""Track records: what is remembered of each client, how long, and over restarts."""

import json
import math

import flwr.serverapp.strategy as message
import pytest

from flwr_vdcs import VirtualConsistencyStrategy
from flwr_vdcs.errors import InvalidArgumentError
from flwr_vdcs.history import _last_clients as memory
from flwr_vdcs.history.track_records import TrackRecords
from tests.federation import InProcessGrid, arrays_of, honest_client, record_of
from tests.models import mlp


def records(**known: float) -> TrackRecords:
    """Note one number of some clients."""
    found = TrackRecords()
    for client_id, value in known.items():
        found.note(client_id, {"n": value})
    return found


def test_a_record_stands_until_the_next():
    """Each client finds its own; those that are new have none."""
    found = records(a=1.0, b=2.0)
    found.note("b", {"n": 3.0})
    assert [found.of(c) for c in ("b", "new", "a")] == [{"n": 3.0}, {}, {"n": 1.0}]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_leaves_the_old_record(value):
    """It could not be saved, and would spoil all later rounds."""
    found = records(a=1.0)
    found.note("a", {"n": 2.0, "m": value})
    assert found.of("a") == {"n": 1.0}


def test_those_scored_longest_ago_are_forgotten(monkeypatch):
    """However many clients come and go, and also from a state."""
    monkeypatch.setattr(memory, "MAX_CLIENTS", 2)
    found = records(old=1.0, active=1.0)
    found.note("active", {"n": 2.0})
    found.note("new", {"n": 3.0})
    assert found.state_dict() == {"active": {"n": 2.0}, "new": {"n": 3.0}}
    found.load_state_dict({name: {"n": 0.0} for name in "abc"})
    assert found.state_dict().keys() == {"b", "c"}


def test_forgotten_on_demand():
    """Also a client that is not known."""
    found = records(a=1.0, b=2.0)
    found.forget("a")
    found.forget("nobody")
    assert found.state_dict() == {"b": {"n": 2.0}}


def test_a_state_goes_on_where_it_was():
    """Through JSON, with the order in which they were scored."""
    found, again = records(b=1.5, a=-2.0), TrackRecords()
    again.load_state_dict(json.loads(json.dumps(found.state_dict())))
    assert list(again.state_dict().items()) == list(found.state_dict().items())


@pytest.mark.parametrize(
    "state",
    [[], {"a": 1}, {"a": {"n": "x"}}, {"a": {"n": math.nan}}, {"a": {"n": True}}],
    ids=str,
)
def test_what_is_no_state_is_refused(state):
    """And changes nothing."""
    found = records(a=1.0)
    with pytest.raises((AttributeError, TypeError, ValueError)):
        found.load_state_dict(state)
    assert found.state_dict() == {"a": {"n": 1.0}}


def plugin(**options) -> VirtualConsistencyStrategy:
    """Wrap a strategy with the scoring that remembers."""
    settings = {"scoring": "hardened", "num_malicious": "auto", "seed": 0, **options}
    inner = message.FedAvg(min_available_nodes=5)
    return VirtualConsistencyStrategy(inner, model=mlp(), input_shape=(12,), **settings)


def train(num_rounds: int, **options) -> tuple[VirtualConsistencyStrategy, list[dict]]:
    """Run some rounds; give what is remembered of all clients after each."""
    seen: list[dict] = []
    strategy = plugin(
        on_round=lambda _: seen.append(strategy.state_dict()["track_records"]),
        **options,
    )
    grid = InProcessGrid({node: honest_client(node) for node in range(1, 6)})
    strategy.start(grid, record_of(arrays_of(mlp())), num_rounds=num_rounds)
    return strategy, seen


@pytest.mark.parametrize("num_malicious", ["auto", 0])
def test_rounds_of_a_run_are_remembered(num_malicious):
    """Their number is the sum of 0.9 to the power of the rounds since.

    In a dry run as well, so that its scores are those that a real one would see.
    """
    _, seen = train(3, num_malicious=num_malicious)
    rounds = [records["1"]["rounds"] for records in seen]
    assert rounds == pytest.approx([1, 1.9, 2.71])


def test_a_round_that_is_skipped_is_not_remembered():
    """Two updates tell nothing about either."""
    seen: list[dict] = []
    strategy = plugin(
        on_round=lambda _: seen.append(strategy.state_dict()), num_malicious=1
    )
    strategy.strategy.min_available_nodes = strategy.strategy.min_train_nodes = 2
    grid = InProcessGrid({node: honest_client(node) for node in (1, 2)})
    strategy.start(grid, record_of(arrays_of(mlp())), num_rounds=1)
    assert strategy.reports[0].skipped
    assert seen[0]["track_records"] == {}


def test_the_published_score_remembers_nothing():
    """It has no names for it."""
    assert train(1, scoring="paper", num_malicious=1)[1] == [{}]


def test_a_restart_goes_on_with_them(tmp_path):
    """The first round after a restart that follows two rounds counts as the third."""
    path = tmp_path / "state.json"
    train(2, state_path=path)
    _, seen = train(1, state_path=path)
    assert seen[0]["1"]["rounds"] == pytest.approx(2.71)


def test_a_state_from_before_them_is_read():
    """Bans go on; nothing is remembered."""
    strategy = plugin()
    strategy.load_state_dict({"num_rounds": 7, "clients": {}})
    assert strategy.state_dict() == {
        "num_rounds": 7,
        "clients": {},
        "track_records": {},
        "availability": {},
        "replays": {},
        "arrays": {},
    }


def test_a_state_with_others_is_refused_whole():
    """Then the rounds are not taken over either."""
    strategy = plugin()
    broken = {"num_rounds": 7, "clients": {}, "track_records": {"1": {"rounds": None}}}
    with pytest.raises(InvalidArgumentError, match="what `state_dict` returned"):
        strategy.load_state_dict(broken)
    assert strategy.state_dict()["num_rounds"] == 0


def test_a_pardon_forgets_them():
    """Also those of a client that is not banned."""
    strategy, _ = train(1)
    strategy.pardon("1")
    assert strategy.state_dict()["track_records"].keys() == set("2345")
