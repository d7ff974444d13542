"""An executor of one's own: the same numbers, and a round that survives it."""

import copy
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from flwr.serverapp.strategy import FedAvg

from flwr_vdcs import (
    Executor,
    HardenedScoring,
    RayExecutor,
    VirtualConsistencyStrategy,
)
from flwr_vdcs.errors import InvalidArgumentError, MissingExtraError
from flwr_vdcs.executors import InProcess, Settings, resolve_executor
from flwr_vdcs.report import OUT_OF_MEMORY
from flwr_vdcs.scoring import score
from tests.candidates import candidates_of, start_of
from tests.executors.rounds import (
    NUM_CLIENTS,
    REFUSED,
    TOO_LARGE,
    Watched,
    model_of,
    one_round,
    outcome,
    two_rounds,
    updates_of,
    with_first_number,
)
from tests.federation import arrays_of, configured, content, honest_update, reply
from tests.models import CASES, mlp
from tests.probe.contexts import context_of, moved, real_state

SMALL = [name for name in CASES if name != "resnet18"]


def shipped(value):
    """Send it to another process and back, as far as a pickler can tell."""
    return pickle.loads(pickle.dumps(value))


class Pickling:
    """Ship all arguments and results, without another process."""

    def map_clients(self, function, shared, clients):
        """Give what the function gives of copies."""
        shared = shipped(shared)
        for client in shipped(clients):
            yield shipped(function(shared, client))


class Broken:
    """Give what a mistaken executor may."""

    def __init__(self, mistake):
        self.mistake = mistake

    def map_clients(self, function, shared, clients):
        """Compute correctly, and spoil it."""
        return self.mistake([function(shared, client) for client in clients])


def raised(_):
    """Raise what an executor may."""
    raise ConnectionError("nobody answers")


def after_two(results):
    """Break down on the way."""
    yield from results[:2]
    raise ConnectionError("nobody answers")


MISTAKES = {
    "raises": raised,
    "raises after two": after_two,
    "too few": lambda results: results[:-1],
    "too many": lambda results: [*results, results[-1]],
    "out of order": lambda results: results[::-1],
    "nothing": lambda _: [],
    "None": lambda _: None,
    "something else": lambda results: [None for _ in results],
}


@pytest.mark.parametrize("scoring", ["paper", "hardened"])
@pytest.mark.parametrize("name", SMALL)
def test_shipped_clients_have_the_same_scores(name, scoring):
    """Bit for bit, with the momentum of a second round too."""
    here, elsewhere = (two_rounds(name, scoring, each) for each in (None, Pickling()))
    assert [*map(outcome, here)] == [*map(outcome, elsewhere)]
    assert all(found.notices == () for found in elsewhere)
    assert any(each.score is not None for each in here[0].candidates)


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_broken_executor_costs_time_only(mistake):
    """What is missing is computed here, nobody is mistaken for another; it is said."""
    found = one_round("hardened", executor=Broken(mistake))
    assert outcome(found) == outcome(one_round("hardened"))
    [notice] = found.notices
    assert notice.startswith("The executor failed, so the server's process computes")


def test_a_round_without_updates_asks_no_executor():
    """Nobody is to start a cluster for that."""
    found = one_round("hardened", [], Broken(raised))
    assert found.notices == ()
    assert found.report.decisions == ()


def test_what_came_before_a_breakdown_is_not_computed_again(tmp_path):
    """The two results are taken; the other four are computed in this process."""
    calls = []

    class Counting(Watched):
        def features(self, *args):
            calls.append(args)
            return super().features(*args)

    found = one_round(Counting(tmp_path), executor=Broken(after_two))
    assert len(found.notices) == 1
    assert len(calls) == NUM_CLIENTS + (NUM_CLIENTS - 2)


def test_a_worker_that_fails_for_reasons_of_its_own_blames_nobody():
    """A failure elsewhere is confirmed here: the worker may lack something."""

    def all_failed(results):
        return [replace(r, features=None, failure="ImportError") for r in results]

    found = one_round("hardened", executor=Broken(all_failed))
    assert outcome(found) == outcome(one_round("hardened"))


@pytest.mark.parametrize("executor", [None, Pickling()])
def test_an_update_that_fails_is_its_clients_failure(executor, tmp_path):
    """It is quarantined; the executor is not to blame."""
    updates = with_first_number(REFUSED)
    found = one_round(Watched(tmp_path), updates, executor)
    verdicts = [decision.verdict for decision in found.report.decisions]
    assert verdicts.count("quarantined") == 1
    assert found.report.decisions[2].reason.endswith("RuntimeError")
    assert found.notices == ()


@pytest.mark.parametrize("executor", [None, Pickling()])
def test_want_of_memory_skips_the_round(executor, tmp_path):
    """Wherever there was none, no client is blamed."""
    found = one_round(Watched(tmp_path), with_first_number(TOO_LARGE), executor)
    assert found.report.skipped
    assert {each.reason for each in found.report.decisions} == {OUT_OF_MEMORY}
    assert isinstance(found.problem, MemoryError)


def test_clients_that_were_sent_another_model_are_judged_against_it():
    """What they were sent is shipped with their update."""
    state = real_state(model_of("batch-norm-cnn"))
    context = context_of(model_of("batch-norm-cnn"), torch.randn(8, 1, 6, 6), state)
    found = []
    for executor in (None, Pickling()):
        candidates = candidates_of(updates_of(state), state)
        candidates[1].start = start_of(moved(state, 99))
        score(candidates, context, HardenedScoring(), executor)
        found.append([each.score for each in candidates])
    assert found[0] == found[1]
    assert None not in found[0]


def test_a_warning_is_logged_once(flower_log):
    """However many rounds the executor is broken for."""
    net = mlp()
    strategy = VirtualConsistencyStrategy(
        FedAvg(), model=net, input_shape=(3, 4), executor=Broken(raised)
    )
    for server_round in (1, 2):
        start = arrays_of(net)
        updates = [honest_update(start, k + 10 * server_round) for k in range(4)]
        replies = [reply(k, content(each)) for k, each in enumerate(updates)]
        configured(strategy, start).aggregate_train(server_round, replies)
    said = [r.getMessage() for r in flower_log.records]
    assert sum("ConnectionError: nobody answers" in each for each in said) == 1


def test_a_strategy_is_copied_and_pickled_with_its_executor():
    """It holds no handle of anything that runs."""
    strategy = VirtualConsistencyStrategy(
        FedAvg(), model=mlp(), input_shape=(3, 4), executor=RayExecutor(num_workers=2)
    )
    for again in (copy.deepcopy(strategy), shipped(strategy)):
        assert again._examiner.executor == RayExecutor(num_workers=2)


@pytest.mark.parametrize("name", ["token-lstm", "batch-norm-cnn"])
def test_a_strategy_that_is_pickled_scores_alike(name):
    """The private copy of the model starts every run alike; LSTMs keep weak links."""
    found, case = [], CASES[name]
    strategy = VirtualConsistencyStrategy(
        FedAvg(),
        model=model_of(name),
        input_shape=case.input_shape,
        virtual_samples=case.virtual_samples,
        seed=1,
    )
    start = arrays_of(model_of(name))
    for each in (strategy, copy.deepcopy(strategy), shipped(strategy)):
        replies = [reply(k, content(honest_update(start, k))) for k in range(4)]
        configured(each, start).aggregate_train(1, replies)
        found.append([decision.score for decision in each.reports[-1].decisions])
    assert found[0] == found[1] == found[2]
    assert None not in found[0]


@pytest.mark.parametrize(
    "executor", ["dask", 4, ThreadPoolExecutor, InProcess, ThreadPoolExecutor(1)]
)
def test_what_is_no_executor_is_refused(executor):
    """A pool of the standard library has another method; a class is no object."""
    with pytest.raises(InvalidArgumentError, match=r"executor=.*`map_clients\("):
        resolve_executor(executor)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_workers", 0),
        ("num_workers", True),
        ("num_cpus", 0),
        ("num_cpus", "1"),
        ("num_gpus", -1),
        ("timeout", float("nan")),
        ("address", 6379),
    ],
)
def test_what_ray_cannot_reserve_is_refused(name, value):
    """At construction, by the argument's name."""
    with pytest.raises(InvalidArgumentError, match=f"{name}="):
        RayExecutor(**{name: value})


def test_without_ray_the_extra_is_named(monkeypatch):
    """The error says what to install."""
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"flwr-vdcs\[ray\]"):
        VirtualConsistencyStrategy(
            FedAvg(), model=mlp(), input_shape=(3, 4), executor="ray"
        )


def test_names_stand_for_executors():
    """None is this process, and an object of the user's own is taken as it is."""
    own: Executor = Pickling()
    assert isinstance(resolve_executor(None), InProcess)
    assert resolve_executor("ray") == RayExecutor()
    assert resolve_executor(own) is own


def test_settings_are_put_back():
    """A worker may serve others too."""
    here = Settings.here()
    other = Settings(
        num_threads=here.num_threads + 1,
        dtype=torch.float64,
        is_deterministic=True,
        only_warns=True,
        precision="high",
        tf32=False,
    )
    with other.applied():
        assert Settings.here() == other
        assert torch.get_num_threads() == here.num_threads + 1
    assert Settings.here() == here
