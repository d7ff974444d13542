"""A round without Flower: the same decisions, for research and tools."""

import copy

import numpy as np
import pytest
import torch
from flwr.serverapp.strategy import FedAvg
from torch import nn
from torch.testing import assert_close

from flwr_vdcs import (
    History,
    Reputation,
    Scoring,
    VirtualConsistencyStrategy,
    examine_round,
)
from flwr_vdcs.errors import (
    ArraysMismatchError,
    InvalidArgumentError,
    NumMaliciousError,
    NumMaliciousNeededError,
    ScoringError,
)
from tests.federation import (
    arrays_of,
    configured,
    content,
    honest_update,
    reply,
    reversed_update,
    seeded,
)
from tests.models import CASES, mlp

NET = seeded(mlp)
START = NET.state_dict()
OPTIONS = {"input_shape": (3, 4), "scoring": "paper", "num_malicious": 1, "seed": 3}

cases = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
settings = pytest.mark.parametrize(
    ("scoring", "num_malicious"), [("paper", 2), ("hardened", 2), ("hardened", "auto")]
)


def as_tensors(arrays) -> dict[str, torch.Tensor]:
    """Give arrays as tensors."""
    return {name: torch.tensor(array) for name, array in arrays.items()}


def round_of(model: nn.Module, num_clients: int = 7) -> dict[str, dict]:
    """Let the last of some clients send a reversed update, ten times as long."""
    start = arrays_of(model)
    sent = {str(n): honest_update(start, n) for n in range(num_clients - 1)}
    far = reversed_update(start, num_clients)
    last = {
        name: np.asarray(array + 10 * (far[name] - array), array.dtype)
        for name, array in start.items()
    }
    return sent | {str(num_clients - 1): last}


@cases
@settings
def test_decides_as_the_strategy_does(case, scoring, num_malicious):
    """Scores and reasons are the same to the last digit."""
    model = seeded(case.build)
    options = {
        "model": model,
        "input_shape": case.input_shape,
        "virtual_samples": case.virtual_samples,
        "num_malicious": num_malicious,
        "scoring": scoring,
        "seed": 3,
        "device": "cpu",
    }
    sent = round_of(model)
    strategy = VirtualConsistencyStrategy(FedAvg(), **options)
    replies = [reply(int(c), content(arrays)) for c, arrays in sent.items()]
    configured(strategy, arrays_of(model)).aggregate_train(1, replies)
    found = examine_round(
        global_state=model.state_dict(),
        updates={client: as_tensors(arrays) for client, arrays in sent.items()},
        **options,
    )
    assert found.report.decisions == strategy.reports[0].decisions
    assert found.report.sensitivity == strategy.reports[0].sensitivity
    assert found.head == case.head


def test_a_history_goes_through_the_rounds():
    """Track records, momentum and bans are those of a strategy that ran them."""
    reputation = Reputation(false_bans=0.1)
    options = {**OPTIONS, "scoring": "hardened", "model": NET}
    strategy = VirtualConsistencyStrategy(FedAvg(), reputation=reputation, **options)
    history, start = History(reputation), arrays_of(NET)
    for server_round in (1, 2, 3):
        sent = {str(n): honest_update(start, n + server_round) for n in range(6)}
        sent["6"] = reversed_update(start, 6)
        configured(strategy, start, num_clients=7)
        replies = [reply(int(c), content(arrays)) for c, arrays in sent.items()]
        arrays, _ = strategy.aggregate_train(server_round, replies)
        found = examine_round(
            global_state=as_tensors(start),
            updates={client: as_tensors(each) for client, each in sent.items()},
            server_round=server_round,
            history=history,
            **options,
        )
        report = strategy.reports[-1]
        assert found.report.decisions == report.decisions
        assert found.report.bans == report.bans
        start = {name: array.numpy() for name, array in arrays.items()}
    plain = history.state_dict(arrays=False)
    assert plain == strategy.state_dict(arrays=False)
    assert plain["track_records"].keys() == sent.keys()


def test_kept_updates_are_given_by_client():
    """Each array that is too long is clipped to twice the median norm."""
    sent = [as_tensors(honest_update(START_ARRAYS, n)) for n in range(5)]
    long = as_tensors(honest_update(START_ARRAYS, 5))
    sent.append({n: START[n] + 2.4 * (t - START[n]) for n, t in long.items()})
    found = examine_round(NET, START, sent, scoring="hardened", **NOBODY_LOW)
    assert list(found.kept) == [str(n) for n in range(6)]
    for name in START:
        norms = torch.stack([(each[name] - START[name]).norm() for each in sent])
        clipped = (found.kept["5"][name] - START[name]).norm()
        allowed = 2 * norms.log().quantile(0.5).exp()
        assert clipped.item() == pytest.approx(min(allowed, norms[5]).item())
    assert found.kept["0"] is not sent[0]
    assert all(torch.equal(found.kept["0"][n], sent[0][n]) for n in START)


START_ARRAYS = arrays_of(NET)
NOBODY_LOW = {"input_shape": (3, 4), "num_malicious": "auto", "seed": 3}


def test_malformed_updates_and_lies_are_quarantined():
    """Clients that lie have no say, and the reasons name what is wrong."""
    sent = {str(n): as_tensors(honest_update(START_ARRAYS, n)) for n in range(5)}
    sent["short"] = dict(list(sent["0"].items())[:-1])
    sent["nan"] = {name: tensor * torch.nan for name, tensor in sent["0"].items()}
    weights = dict.fromkeys(sent, 10.0) | {"4": 1e9}
    found = examine_round(NET, START, sent, num_examples=weights, **OPTIONS)
    reasons = {d.client_id: d.reason for d in found.report.decisions if d.reason}
    assert "missing '4.bias'" in reasons["short"]
    assert "found nan to nan" in reasons["nan"]
    assert "at most 1000 times the median 10" in reasons["4"]


def test_nothing_of_the_callers_is_changed_or_kept():
    """A model that is trained on in place between rounds does not move the past."""
    model, history = copy.deepcopy(NET), History()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    sent = [as_tensors(honest_update(START_ARRAYS, n)) for n in range(5)]
    options = {**OPTIONS, "scoring": "hardened", "history": history}
    examine_round(model, model.state_dict(), sent, **options)
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 1
    examine_round(model, model.state_dict(), sent, server_round=2, **options)
    for way in history.momentum.state.values():
        assert_close(way, torch.ones_like(way))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"num_malicious": 0.7}, NumMaliciousError),
        ({"num_malicious": "auto"}, NumMaliciousNeededError),
        ({"num_virtual_samples": 0}, InvalidArgumentError),
        ({"input_shape": "3, 4"}, InvalidArgumentError),
        ({"scoring": "papers"}, InvalidArgumentError),
        ({"global_state": {"0.weight": torch.zeros(2)}}, ArraysMismatchError),
    ],
)
def test_bad_arguments_are_the_strategys_errors(change, error):
    """Each says what was given and what is allowed."""
    given = {"global_state": START, "updates": [START] * 3, **OPTIONS, **change}
    with pytest.raises(error):
        examine_round(NET, **given)


class Failing(Scoring):
    """Fail at everything."""

    name = "failing"

    def features(self, context, global_state, update):
        """Fail."""
        raise RuntimeError

    def scores(self, features):
        """Be unused."""
        raise NotImplementedError


def test_a_dry_run_tells_what_kept_it_from_scoring():
    """With M above 0 the error is raised instead."""
    options = {**OPTIONS, "scoring": Failing()}
    with pytest.raises(ScoringError):
        examine_round(NET, START, [START] * 4, **options)
    found = examine_round(NET, START, [START] * 4, **{**options, "num_malicious": 0})
    assert isinstance(found.problem, ScoringError)
    assert found.report.num_kept == 4


def test_banned_clients_are_not_looked_at():
    """They are reported once, as banned, and nobody is dropped in their place."""
    history = History(Reputation())
    clients = {"3": {"evidence": 11.0, "parole": 9}}
    history.load_state_dict({"num_rounds": 1, "clients": clients})
    sent = [as_tensors(honest_update(START_ARRAYS, n)) for n in range(6)]
    found = examine_round(NET, START, sent, history=history, **OPTIONS)
    verdicts = {d.client_id: d.verdict for d in found.report.decisions}
    assert verdicts == dict.fromkeys("01245", "kept") | {"3": "banned"}
    assert "3" not in found.kept


def test_rounds_are_counted_by_their_history():
    """With a seed of one's own, each has other virtual samples."""
    history = History()
    seeds = []
    for step in range(3):
        sent = [as_tensors(honest_update(START_ARRAYS, 9 * step + n)) for n in range(4)]
        found = examine_round(NET, START, sent, history=history, **OPTIONS)
        seeds.append((found.report.server_round, found.report.seed))
    assert seeds == [(1, 4), (2, 5), (3, 6)]
