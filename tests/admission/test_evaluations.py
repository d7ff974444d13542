"""Answers to an evaluation: lies are quarantined, honest ones leave no trace."""

import math
import re
from typing import Any

import flwr.server.strategy as legacy
import flwr.serverapp.strategy as message
import pytest
from flwr.app import (
    RecordDict,
)
from flwr.common import Code, EvaluateRes, Status

from flwr_vdcs import VirtualConsistencyStrategy
from tests.admission.lies import (
    NET,
    metrics,
    wrapped,
)
from tests.federation import (
    LegacyClient,
    content,
    honest_update,
    reply,
)

EVALUATION_LIES = {
    "no metrics": (RecordDict(), "exactly one MetricRecord, found 0"),
    "extra metric": (content(None, metrics(more=1)), "not theirs 'metric more'"),
    "negative weight": (content(None, metrics(num_examples=-1)), "found -1"),
    "no weight": (content(None, {"train_loss": 1.0}), "the metric 'num-examples'"),
}


@pytest.mark.parametrize(
    ("lie", "reason"), EVALUATION_LIES.values(), ids=EVALUATION_LIES
)
def test_lies_in_an_evaluation_are_quarantined(lie, reason, tmp_path, flower_log):
    """An evaluation goes on without the liar, and the audit log tells."""
    audit_log = tmp_path / "audit.jsonl"
    strategy = VirtualConsistencyStrategy(
        message.FedAvg(),
        model=NET,
        input_shape=(1, 6, 6),
        num_malicious=0,
        scoring="paper",
        audit_log=audit_log,
    )
    honest = [reply(n, content(None)) for n in range(3)]
    found = strategy.aggregate_evaluate(1, [reply(9, lie), *honest])
    assert found == message.FedAvg().aggregate_evaluate(1, honest)
    assert re.search(reason, strategy.evaluation_reports[0].decisions[0].reason)
    assert '"phase": "evaluate"' in audit_log.read_text()
    assert "Client 9 is quarantined in round 1 (evaluate)" in flower_log.text


def test_an_evaluation_of_liars_only_gives_nothing():
    """With nobody left the wrapped strategy is not called."""
    assert wrapped().aggregate_evaluate(1, [reply(9, RecordDict())]) is None


def test_an_honest_evaluation_leaves_no_trace():
    """Nothing is reported where nothing was quarantined."""
    strategy = wrapped()
    honest = [reply(n, content(None)) for n in range(3)]
    strategy.aggregate_evaluate(1, honest)
    assert strategy.evaluation_reports == []


def test_lies_in_a_legacy_evaluation_are_quarantined():
    """A weight of NaN would make the loss NaN."""
    strategy = VirtualConsistencyStrategy(
        legacy.FedAvg(),
        model=NET,
        input_shape=(1, 6, 6),
        num_malicious=0,
        scoring="paper",
    )

    def evaluation(client: int, weight: float) -> Any:
        result = EvaluateRes(Status(Code.OK, ""), 0.5, weight, {})
        return LegacyClient(client, honest_update), result

    honest = [evaluation(n, 10) for n in range(3)]
    loss, _ = strategy.aggregate_evaluate(1, [evaluation(9, math.nan), *honest], [])
    assert loss == 0.5
    assert strategy.evaluation_reports[0].num_quarantined == 1
    assert strategy.aggregate_evaluate(1, [evaluation(9, 0)], []) == (None, {})
