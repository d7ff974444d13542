"""Evidence on a real cluster of two workers, some of which die."""

import copy
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import psutil
import pytest
from flwr.serverapp.strategy import FedAvg

from flwr_vdcs import RayExecutor, VirtualConsistencyStrategy
from flwr_vdcs.errors import ExecutorError
from flwr_vdcs.executors.ray import NAMESPACE, RETRIES
from flwr_vdcs.report import OUT_OF_MEMORY
from tests.executors.rounds import (
    REFUSED,
    TOO_LARGE,
    Watched,
    one_round,
    outcome,
    two_rounds,
    with_first_number,
)
from tests.federation import arrays_of, configured, content, honest_update, reply
from tests.models import mlp

ray = pytest.importorskip("ray")

pytestmark = pytest.mark.simulation

ROOT = Path(__file__).parents[2]

ON_RAY = RayExecutor(num_workers=2, timeout=60)


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """Start a cluster with two CPUs, as if it were there already."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ray.init(
            address="local", num_cpus=2, include_dashboard=False, log_to_driver=False
        )
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ray.shutdown()


@pytest.mark.parametrize("scoring", ["paper", "hardened"])
@pytest.mark.parametrize("name", ["batch-norm-cnn", "vision-transformer"])
def test_scores_are_the_same_to_the_last_digit(name, scoring):
    """Over two rounds, so that there is a momentum; reasons and shares too."""
    here, there = (two_rounds(name, scoring, each) for each in (None, ON_RAY))
    assert [*map(outcome, here)] == [*map(outcome, there)]
    assert [found.notices for found in there] == [(), ()]


def test_a_worker_that_is_killed_costs_no_round(tmp_path):
    """Its shard goes to another process, and nothing of it to this one."""
    scoring = Watched(tmp_path, then="die")
    found = one_round(scoring, executor=ON_RAY)
    assert outcome(found) == outcome(one_round("hardened"))
    assert found.notices == ()
    assert scoring.mark.exists(), "nobody was killed"
    assert len(scoring.processes()) > 1
    assert os.getpid() not in scoring.processes()


def test_a_shard_that_kills_each_worker_comes_home(tmp_path):
    """After so many tries, and by the exception that says so."""

    def kill(shared, client):
        (tmp_path / str(os.getpid())).touch()
        os.kill(os.getpid(), 9)

    with pytest.raises(ExecutorError, match="Ray raised a WorkerCrashedError"):
        list(RayExecutor(num_workers=1).map_clients(kill, None, [1]))
    assert len([*tmp_path.iterdir()]) == 1 + RETRIES


def test_an_update_that_fails_on_a_worker_is_its_clients_failure(tmp_path):
    """The shard's other clients are scored."""
    scoring = Watched(tmp_path)
    found = one_round(scoring, with_first_number(REFUSED), ON_RAY)
    verdicts = [decision.verdict for decision in found.report.decisions]
    assert verdicts[2] == "quarantined"
    assert verdicts.count("quarantined") == 1
    assert found.notices == ()
    assert {os.getpid()} < scoring.processes(), "it was not confirmed in this process"


def test_want_of_memory_on_a_worker_skips_the_round(tmp_path):
    """As it does in this process."""
    scoring = Watched(tmp_path)
    found = one_round(scoring, with_first_number(TOO_LARGE), ON_RAY)
    assert {each.reason for each in found.report.decisions} == {OUT_OF_MEMORY}
    assert os.getpid() not in scoring.processes()


def test_where_others_hold_all_cpus_this_process_does_it(tmp_path):
    """As the clients of a simulation may: the round waits a while, not for ever."""
    holder = ray.remote(Holder).options(num_cpus=2).remote()
    assert ray.get(holder.is_there.remote())
    scoring = Watched(tmp_path)
    found = one_round(scoring, executor=RayExecutor(timeout=0.5))
    ray.kill(holder)
    assert outcome(found) == outcome(one_round("hardened"))
    [notice] = found.notices
    assert "Ray has no 1 CPUs and 0 GPUs free" in notice
    assert scoring.processes() == {os.getpid()}
    assert ray.is_initialized(), "a cluster that was found is left alone"


class Holder:
    """Holds what it was given."""

    def is_there(self):
        """Tell that it has started."""
        return True


def test_an_address_where_nobody_answers_costs_no_round(monkeypatch):
    """A cluster that is gone; Ray is not asked to start another one."""
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", _refuse)
    found = one_round("hardened", executor=RayExecutor(address="192.0.2.1:6379"))
    assert outcome(found) == outcome(one_round("hardened"))
    [notice] = found.notices
    assert "ConnectionError: no cluster at 192.0.2.1:6379" in notice


def _refuse(address, **_):
    raise ConnectionError(f"no cluster at {address}")


SCRIPT = """
import json, sys, threading, time
import psutil, ray
from tests.executors.rounds import Watched, one_round, outcome
from flwr_vdcs import RayExecutor

def processes():
    return psutil.Process().children(recursive=True)

def kill_head(mark):
    while not mark.exists():
        time.sleep(0.05)
    [head] = [each for each in processes() if "gcs_server" in each.name()]
    head.kill()

class EndsBetweenShards:
    def map_clients(self, *args):
        results = RayExecutor(num_workers=2, num_cpus=0.1).map_clients(*args)
        yield next(results)
        started.extend(each.pid for each in processes())
        ray.shutdown()
        yield from results

executor = RayExecutor(num_workers=1, timeout=3)
found = {"on Ray": one_round("hardened", executor=executor)}
namespace, started = ray.get_runtime_context().namespace, []
scoring = Watched(sys.argv[1], then="wait")
threading.Thread(target=kill_head, args=(scoring.mark,), daemon=True).start()
found["head killed"] = one_round(scoring, executor=executor)
found["shut down"] = one_round("hardened", executor=EndsBetweenShards())
is_connected = ray.is_initialized()
found["again on Ray"] = one_round("hardened", executor=executor)
started.extend(each.pid for each in processes())
expected = outcome(one_round("hardened"))
print(json.dumps({
    "same": {name: outcome(each) == expected for name, each in found.items()},
    "notices": {name: " ".join(each.notices) for name, each in found.items()},
    "namespace": namespace,
    "started": started,
    "is connected": is_connected,
}))
"""


def test_a_cluster_that_is_gone_costs_no_round(tmp_path):
    """It was started by the executor, without a word; nothing of it is left."""
    command = [sys.executable, "-c", SCRIPT, tmp_path]
    run = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=280
    )
    assert run.returncode == 0, run.stderr
    said = json.loads(run.stdout)
    assert {*said["same"].values()} == {True}
    notices = said["notices"]
    assert notices["on Ray"] == notices["again on Ray"] == ""
    assert "Ray has no 1 CPUs" in notices["head killed"]
    assert "this process is no longer connected to Ray" in notices["shut down"]
    assert said["namespace"] == NAMESPACE
    assert not said["is connected"], "nothing was started in its place"
    assert said["started"]
    left = [psutil.Process(pid) for pid in said["started"] if psutil.pid_exists(pid)]
    _, alive = psutil.wait_procs(left, timeout=30)
    assert all(each.status() == psutil.STATUS_ZOMBIE for each in alive)


def test_a_strategy_is_copied_after_rounds_on_ray():
    """It keeps no handle of the cluster."""
    net = mlp()
    strategy = VirtualConsistencyStrategy(
        FedAvg(), model=net, input_shape=(3, 4), executor=ON_RAY, seed=1
    )
    start = arrays_of(net)
    replies = [reply(k, content(honest_update(start, k))) for k in range(4)]
    configured(strategy, start).aggregate_train(1, replies)
    again = copy.deepcopy(strategy)
    assert again._examiner.executor == ON_RAY
    assert again.reports == strategy.reports
    assert again.reports[0].num_kept == 4
