"""Bans in rounds of both APIs: who is asked, what is reported, what a restart keeps."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import flwr.server.strategy as legacy
import flwr.serverapp.strategy as message
import pytest
from flwr.common import ndarrays_to_parameters
from flwr.server import Server
from flwr.server.client_manager import SimpleClientManager

from flwr_vdcs import Reputation, VirtualConsistencyStrategy
from flwr_vdcs.errors import InvalidArgumentError, StateError
from flwr_vdcs.records.state_file import StateFile
from tests.federation import (
    InProcessGrid,
    LegacyClient,
    arrays_of,
    content,
    honest_client,
    honest_update,
    record_of,
    reversed_update,
)
from tests.models import mlp

NUM_CLIENTS = 7
REPUTATION = Reputation(false_bans=0.05, parole=4)
"""Bans after two rounds in which one of seven is dropped: 2 ln(0.8 * 7) > ln(20)."""


def reversing_client(client):
    """Move against the others."""

    def answer(body, message_type):
        if message_type != "train":
            return content()
        arrays = {key: array.numpy() for key, array in body["arrays"].items()}
        return content(reversed_update(arrays, client))

    return answer


class WatchedGrid(InProcessGrid):
    """Remember who was asked what."""

    def __init__(self, clients):
        super().__init__(clients)
        self.asked = []

    def send_and_receive(self, messages, **options):
        """Note the message type and the nodes."""
        messages = list(messages)
        nodes = {m.metadata.dst_node_id for m in messages}
        self.asked.append(nodes)
        return super().send_and_receive(messages, **options)


def plugin(inner, **options):
    """Wrap a strategy; one client is dropped each round."""
    settings = {
        "scoring": "paper",
        "num_malicious": 1,
        "reputation": REPUTATION,
        "seed": 0,
        **options,
    }
    return VirtualConsistencyStrategy(inner, model=mlp(), input_shape=(12,), **settings)


def grid() -> WatchedGrid:
    """Make a federation in which client 3 is malicious."""
    clients = {node: honest_client(node) for node in range(1, NUM_CLIENTS + 1)}
    return WatchedGrid(clients | {3: reversing_client(3)})


def fed_avg() -> message.FedAvg:
    """Ask all, and evaluate with all."""
    return message.FedAvg(min_available_nodes=NUM_CLIENTS)


def verdict(report, client_id: str) -> str:
    """Look up what became of a client."""
    return next(d.verdict for d in report.decisions if d.client_id == client_id)


@pytest.fixture(scope="module")
def run():
    """Run eight rounds with the Message API."""
    strategy, nodes = plugin(fed_avg()), grid()
    result = strategy.start(nodes, record_of(arrays_of(mlp())), num_rounds=8)
    return strategy, nodes, result


def test_a_banned_client_gets_no_messages(run):
    """Neither to train nor to evaluate, until its parole and from the next refusal."""
    _, nodes, _ = run
    with_3 = [3 in asked for asked in nodes.asked]
    train, evaluate = with_3[::2], with_3[1::2]
    assert train == [True] * 2 + [False] * 4 + [True, False]
    assert evaluate == [True] + [False] * 4 + [True] + [False] * 2


def test_it_is_reported(run):
    """As banned, with the rounds that are left; the round of the ban names it."""
    strategy, _, result = run
    verdicts = [verdict(report, "3") for report in strategy.reports]
    assert verdicts == ["dropped"] * 2 + ["banned"] * 4 + ["dropped", "banned"]
    assert [report.bans for report in strategy.reports][:3] == [(), ("3",), ()]
    assert strategy.reports[2].decisions[-1].reason == "banned, asked again in 4 rounds"
    metrics = result.train_metrics_clientapp.values()
    counted = [m.get("vdcs-num-banned", 0) for m in metrics]
    assert counted == [0, 0, 1, 1, 1, 1, 0, 1]


def test_nobody_is_dropped_in_its_place(run):
    """A banned client is one of the M."""
    strategy, _, _ = run
    assert [report.num_malicious for report in strategy.reports[2:6]] == [0] * 4
    assert [report.num_kept for report in strategy.reports] == [6] * 8


def test_all_asked_are_banned():
    """The model is kept and the run goes on."""
    strategy, nodes = plugin(fed_avg()), grid()
    standing = {"evidence": 3.0, "parole": 2}
    clients = {str(node): standing for node in nodes.clients}
    strategy.load_state_dict({"num_rounds": 0, "clients": clients})
    start = record_of(arrays_of(mlp()))
    result = strategy.start(nodes, start, num_rounds=3)
    assert [report.num_banned for report in strategy.reports] == [NUM_CLIENTS] * 2 + [0]
    assert nodes.asked[0] == set()
    assert strategy.reports[2].num_kept == NUM_CLIENTS - 1
    assert result.arrays is not None


def legacy_round(strategy, manager, server_round, parameters):
    """Configure, fit and aggregate one round; give the ids asked."""
    asked = strategy.configure_fit(server_round, parameters, manager)
    results = [(proxy, proxy.fit(ins)) for proxy, ins in asked]
    strategy.aggregate_fit(server_round, results, [])
    return {proxy.cid for proxy, _ in asked}


def test_the_legacy_api_bans_as_well():
    """The proxies of banned clients are left out of both phases."""
    inner = legacy.FedAvg(min_available_clients=NUM_CLIENTS)
    strategy, manager = plugin(inner), SimpleClientManager()
    for client in range(1, NUM_CLIENTS + 1):
        update = reversed_update if client == 3 else honest_update
        manager.register(LegacyClient(client, update))
    parameters = ndarrays_to_parameters(list(arrays_of(mlp()).values()))
    asked = [legacy_round(strategy, manager, r, parameters) for r in range(1, 9)]
    assert ["3" in ids for ids in asked] == [True] * 2 + [False] * 4 + [True, False]
    verdicts = [verdict(report, "3") for report in strategy.reports]
    assert verdicts == ["dropped"] * 2 + ["banned"] * 4 + ["dropped", "banned"]


def test_a_legacy_round_that_asks_nobody_counts():
    """Flower ends it before the aggregation; the parole goes on all the same."""
    inner = legacy.FedAvg(min_available_clients=NUM_CLIENTS)
    strategy, manager = plugin(inner), SimpleClientManager()
    for client in range(1, NUM_CLIENTS + 1):
        manager.register(LegacyClient(client, honest_update))
    standing = {"evidence": 3.0, "parole": 2}
    clients = {str(client): standing for client in range(1, NUM_CLIENTS + 1)}
    strategy.load_state_dict({"num_rounds": 0, "clients": clients})
    server = Server(client_manager=manager, strategy=strategy)
    server.parameters = ndarrays_to_parameters(list(arrays_of(mlp()).values()))
    for server_round in (1, 2, 3):
        server.fit_round(server_round, None)
    assert [report.num_banned for report in strategy.reports] == [NUM_CLIENTS] * 2 + [0]
    assert strategy.reports[2].num_kept == NUM_CLIENTS - 1


def test_the_legacy_api_leaves_them_out_of_the_evaluation():
    """Right after the ban."""
    inner = legacy.FedAvg(min_available_clients=NUM_CLIENTS)
    strategy, manager = plugin(inner), SimpleClientManager()
    for client in range(1, NUM_CLIENTS + 1):
        manager.register(LegacyClient(client, honest_update))
    clients = {"3": {"evidence": 3.0, "parole": 2}}
    strategy.load_state_dict({"num_rounds": 0, "clients": clients})
    parameters = ndarrays_to_parameters(list(arrays_of(mlp()).values()))
    evaluated = strategy.configure_evaluate(1, parameters, manager)
    assert {proxy.cid for proxy, _ in evaluated} == set("124567")


def test_a_restart_goes_on_with_its_bans(tmp_path):
    """The next process reads the state: the client is not asked in its first round."""
    path = tmp_path / "state.json"
    start = record_of(arrays_of(mlp()))
    plugin(fed_avg(), state_path=path).start(grid(), start, num_rounds=3)
    strategy, nodes = plugin(fed_avg(), state_path=path), grid()
    strategy.start(nodes, start, num_rounds=4)
    assert [3 in asked for asked in nodes.asked[::2]] == [False] * 3 + [True]
    assert strategy.state_dict()["num_rounds"] == 7


def test_a_restart_does_not_repeat_the_seeds(tmp_path):
    """With a seed of one's own, round 1 after three rounds is the fourth."""
    path = tmp_path / "state.json"
    start = record_of(arrays_of(mlp()))
    plugin(fed_avg(), state_path=path).start(grid(), start, num_rounds=3)
    strategy = plugin(fed_avg(), state_path=path)
    strategy.start(grid(), start, num_rounds=1)
    assert strategy.reports[0].seed == 4


def test_a_pardon_is_saved(tmp_path):
    """The state on disk knows it at once."""
    path = tmp_path / "state.json"
    strategy = plugin(fed_avg(), state_path=path)
    strategy.start(grid(), record_of(arrays_of(mlp())), num_rounds=2)
    assert json.loads(path.read_text())["state"]["clients"]["3"]["parole"] == 6
    strategy.pardon("3")
    assert json.loads(path.read_text())["state"]["clients"] == {}


def test_a_pardon_of_somebody_unknown_is_told(caplog):
    """A hospital's name instead of its id, for example."""
    strategy = plugin(fed_avg())
    strategy.pardon("General Hospital")
    assert "Nothing is held against a client with the id 'General Hospital'" in (
        caplog.text
    )


def test_a_start_without_a_state_is_told(tmp_path, caplog):
    """So that a mistyped path is seen."""
    plugin(fed_avg(), state_path=tmp_path / "state.json")
    assert "No state at" in caplog.text


def test_a_number_beyond_all_bounds_is_an_error_that_names_the_file(tmp_path):
    """Though the checksum fits."""
    path = tmp_path / "state.json"
    clients = {"3": {"evidence": 10**400, "parole": None}}
    StateFile(path).write({"num_rounds": 1, "clients": clients})
    with pytest.raises(StateError, match=r"state\.json.*no state of a server"):
        plugin(fed_avg(), state_path=path)


ABSURD = {
    "a track record": {"track_records": {"3": {"n": 1e300}}},
    "evidence": {"clients": {"3": {"evidence": 1e308, "parole": None}}},
    "a parole": {"clients": {"3": {"evidence": 1.0, "parole": 10**30}}},
    "rounds": {"num_rounds": 10**30},
    "a negative count": {"availability": {"3": {"num_errors": -1, "back": 2}}},
}


@pytest.mark.parametrize("sums", ABSURD.values(), ids=ABSURD)
def test_sums_that_nobody_added_up_are_an_error_and_change_nothing(tmp_path, sums):
    """Though all of them are finite, and the checksum fits."""
    path = tmp_path / "state.json"
    state = {"num_rounds": 1, "clients": {}, **sums}
    StateFile(path).write(state)
    written = path.read_bytes()
    with pytest.raises(StateError, match=r"state\.json.*no state of a server"):
        plugin(fed_avg(), state_path=path)
    assert path.read_bytes() == written
    strategy = plugin(fed_avg())
    strategy.start(grid(), record_of(arrays_of(mlp())), num_rounds=2)
    before = strategy.state_dict(arrays=False)
    with pytest.raises(InvalidArgumentError, match="state_dict"):
        strategy.load_state_dict(state)
    assert strategy.state_dict(arrays=False) == before


def test_a_killed_server_goes_on_with_its_bans(tmp_path):
    """Kill it with SIGKILL between rounds; the ban and the log's chain go on."""
    code = (
        "import os, signal, sys; from tests.history import test_bans as t;"
        "strategy = t.plugin(t.fed_avg(), state_path=sys.argv[1],"
        " audit_log=sys.argv[2], on_round=lambda report:"
        " report.server_round == 3 and os.kill(os.getpid(), signal.SIGKILL));"
        "strategy.start(t.grid(), t.record_of(t.arrays_of(t.mlp())), num_rounds=8)"
    )
    state, log = tmp_path / "state.json", tmp_path / "audit.jsonl"
    done = subprocess.run(
        [sys.executable, "-c", code, state, log],
        check=False,
        env={**os.environ},
        cwd=Path(__file__).parents[2],
        capture_output=True,
    )
    assert done.returncode == -signal.SIGKILL
    strategy, nodes = plugin(fed_avg(), state_path=state, audit_log=log), grid()
    strategy.start(nodes, record_of(arrays_of(mlp())), num_rounds=1)
    assert 3 not in nodes.asked[0]
    assert len(log.read_text().splitlines()) == 4


def test_a_damaged_state_stops_the_start(tmp_path):
    """Rather than forget the bans."""
    path = tmp_path / "state.json"
    path.write_text('{"format": "flwr-vdcs sta')
    with pytest.raises(StateError, match=r"state\.json"):
        plugin(fed_avg(), state_path=path)


def test_a_state_on_a_full_disk_costs_no_round(tmp_path, flower_log, monkeypatch):
    """The training goes on with a warning, and the old state stays."""
    path = tmp_path / "state.json"
    strategy = plugin(fed_avg(), state_path=path)
    path.with_name("state.json.new").mkdir()
    strategy.start(grid(), record_of(arrays_of(mlp())), num_rounds=1)
    assert "state.json is out of date" in flower_log.text
    assert len(strategy.reports) == 1


def test_a_state_of_something_else_is_refused():
    """By the public method too."""
    with pytest.raises(InvalidArgumentError, match="what `state_dict` returned"):
        plugin(fed_avg()).load_state_dict({"weights": []})


def test_every_round_is_told_to_the_listeners(flower_log):
    """One that fails costs a warning, and the others are told all the same."""
    told = []

    def failing(report):
        raise OSError("no network")

    strategy = plugin(fed_avg(), on_round=[failing, told.append])
    strategy.start(grid(), record_of(arrays_of(mlp())), num_rounds=2)
    assert told == strategy.reports
    assert flower_log.text.count("on_round <function") == 2


@pytest.mark.parametrize("on_round", [3, [print, 3]])
def test_a_listener_is_a_callable(on_round):
    """Anything else is refused at construction."""
    with pytest.raises(InvalidArgumentError, match="on_round"):
        plugin(fed_avg(), on_round=on_round)


def test_reputation_takes_its_settings():
    """A number or a dict is not enough."""
    with pytest.raises(InvalidArgumentError, match="Reputation"):
        plugin(fed_avg(), reputation=5)


def test_a_replayed_update_is_quarantined():
    """A client that sends its first update for ever is refused from the second on."""

    def replaying(node):
        fixed = content(honest_update(arrays_of(mlp()), node), None)

        def answer(body, message_type):
            return fixed if message_type == "train" else content()

        return answer

    nodes = grid()
    nodes.clients[3] = replaying(3)
    strategy = plugin(fed_avg(), reputation=None)
    strategy.start(nodes, record_of(arrays_of(mlp())), num_rounds=3)
    decisions = [
        next(d for d in report.decisions if d.client_id == "3")
        for report in strategy.reports
    ]
    assert [d.verdict for d in decisions[1:]] == ["quarantined"] * 2
    assert decisions[2].reason == "it sent the same arrays in round 1"


@pytest.mark.parametrize("scoring", ["paper", "hardened"])
def test_bans_without_a_threshold_are_warned_of(flower_log, scoring):
    """The published score drops M clients whether they are malicious or not."""
    plugin(fed_avg(), scoring=scoring)
    assert ("has no threshold" in flower_log.text) is (scoring == "paper")


@pytest.mark.parametrize(("share", "told"), [(0.1, 1), (0.2, 0)])
def test_a_share_that_is_nobody_is_told_once(flower_log, share, told):
    """A tenth of seven updates is none: the operator hears that nobody is dropped."""
    strategy = plugin(fed_avg(), num_malicious=share, reputation=None)
    strategy.start(grid(), record_of(arrays_of(mlp())), num_rounds=2)
    assert flower_log.text.count("is less than one client") == told
