"""Whole rounds in which the scores tell no client from another."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from flwr.serverapp.strategy import FedAvg
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from flwr_vdcs import Scoring, VirtualConsistencyStrategy
from tests.federation import (
    Arrays,
    arrays_of,
    configured,
    content,
    honest_update,
    reply,
    reversed_update,
    seeded,
)

ATTACKERS = (1, 4)
NUM_CLIENTS = 6

DIRECTION = "0.parametrizations.weight.original1"


def frozen_features() -> nn.Module:
    """Put a logistic regression on features that nobody trains."""
    return nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 2))


def weight_normalised() -> nn.Module:
    """Divide each filter by its length."""
    return nn.Sequential(
        weight_norm(nn.Conv1d(4, 16, 3)),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * 6, 3),
    )


@dataclass(frozen=True)
class Blind:
    """A model whose published scores are all the same, and what no client changes."""

    model: nn.Module
    input_shape: tuple[int, ...]
    score: float
    untrained: dict[str, int | slice]


MODELS = {
    "frozen features": Blind(
        seeded(frozen_features),
        (16,),
        0.0,
        {"0.weight": slice(None), "0.bias": slice(None)},
    ),
    "dead filter": Blind(seeded(weight_normalised), (4, 8), 0.0, {DIRECTION: 5}),
}

blind_models = pytest.mark.parametrize("case", MODELS.values(), ids=MODELS)


def wrap(case, **options):
    """Put the plugin around plain averaging."""
    settings = {
        "scoring": "paper",
        "num_malicious": 2,
        "seed": 0,
        "device": "cpu",
        **options,
    }
    return VirtualConsistencyStrategy(
        FedAvg(), model=case.model, input_shape=case.input_shape, **settings
    )


def sent(case, seed=0) -> list[Arrays]:
    """Let two of six clients go far back, and all leave what nobody trains."""
    start = arrays_of(case.model)
    updates = [honest_update(start, seed + n) for n in range(NUM_CLIENTS)]
    for attacker in ATTACKERS:
        updates[attacker] = reversed_update(start, seed + attacker)
    for update in updates:
        for name, places in case.untrained.items():
            update[name][places] = start[name][places]
    return updates


def aggregate(strategy, case, updates, server_round=1):
    """Let clients send these updates in this order; give the aggregate."""
    replies = [reply(node, content(update)) for node, update in enumerate(updates)]
    configured(strategy, arrays_of(case.model))
    return strategy.aggregate_train(server_round, replies)


@blind_models
@pytest.mark.parametrize("num_malicious", [0, 1, 2, 5, 0.3])
def test_nobody_is_dropped_for_the_place_of_a_reply(case, num_malicious):
    """Everybody goes on, and the report says why."""
    updates = sent(case)
    strategy = wrap(case, num_malicious=num_malicious)
    arrays, metrics = aggregate(strategy, case, updates)
    [report] = strategy.reports
    assert {(d.verdict, d.reason) for d in report.decisions} == {("kept", "")}
    assert [d.score for d in report.decisions] == pytest.approx([case.score] * 6)
    assert report.scores_alike
    assert not report.skipped
    assert metrics["vdcs-num-dropped"] == 0
    for name, array in arrays.items():
        expected = np.mean([update[name] for update in updates], axis=0)
        np.testing.assert_allclose(array.numpy(), expected, rtol=1e-5, atol=1e-6)


@blind_models
def test_it_is_told_once_in_a_run(case, flower_log):
    """Not in each of three rounds."""
    strategy = wrap(case)
    for server_round in (1, 2, 3):
        aggregate(strategy, case, sent(case, 10 * server_round), server_round)
    assert [report.scores_alike for report in strategy.reports] == [True] * 3
    assert flower_log.text.count("all clients have the same score") == 1
    assert "have equal scores, so the choice" not in flower_log.text


def test_a_model_whose_filters_all_live_is_scored_as_ever(flower_log):
    """The same model tells clients apart where its weights are no 0 / 0."""
    case = MODELS["dead filter"]
    alive = Blind(case.model, case.input_shape, 0.0, {})
    strategy = wrap(alive)
    aggregate(strategy, alive, sent(alive))
    assert strategy.reports[0].num_dropped == 2
    assert not strategy.reports[0].scores_alike
    assert "have the same score" not in flower_log.text


@blind_models
def test_hardened_scoring_finds_them_as_the_warning_advises(case):
    """It looks at all parameters."""
    strategy = wrap(case, scoring="hardened")
    aggregate(strategy, case, sent(case))
    [report] = strategy.reports
    dropped = [int(d.client_id) for d in report.decisions if d.verdict == "dropped"]
    assert tuple(dropped) == ATTACKERS
    assert not report.scores_alike


class Indifferent(Scoring):
    """A scoring of one's own that gives everybody the same, in half precision."""

    name = "indifferent"

    def __init__(self, threshold=None):
        self.threshold = threshold

    def features(self, context, global_state, update):
        """Look at the first array."""
        return next(iter(update.values()))

    def scores(self, features):
        """Ignore it."""
        return torch.full((len(features),), -3.3, dtype=torch.float16)


def test_a_scoring_of_ones_own_is_treated_alike():
    """Unless a threshold decides, as with "auto"."""
    case = MODELS["frozen features"]
    given, auto = (
        wrap(case, scoring=Indifferent(-1.0), num_malicious=num_malicious)
        for num_malicious in (2, "auto")
    )
    for strategy in (given, auto):
        aggregate(strategy, case, sent(case))
    assert (given.reports[0].num_dropped, auto.reports[0].num_dropped) == (0, 2)
    assert given.reports[0].scores_alike
    assert not auto.reports[0].scores_alike
