"""What the trials found: replies that once got through, and must not again."""

import flwr.server.strategy as legacy
import flwr.serverapp.strategy as message
import numpy as np
import pytest
from flwr.app import ConfigRecord, MetricRecord, RecordDict
from flwr.common import Code, EvaluateRes, Status

import flwr_vdcs.admission._reading
from tests.benchmarks.faults.plugin import START, legacy_round
from tests.benchmarks.faults.plugin import protected as around
from tests.federation import (
    InProcessGrid,
    LegacyClient,
    configured,
    content,
    fit_result,
    honest_client,
    honest_update,
    record_of,
    reply,
)

VARIANCE = "1.running_var"
LISTED = {"num-examples": 10, "recalls": [0.5, 0.25]}


def protected(inner, num_malicious=0, **settings):
    """Drop nobody if nothing else is said."""
    return around(inner, num_malicious=num_malicious, **settings)


def honest(metrics=None, start=START):
    """Reply honestly from five nodes."""
    return [reply(n, content(honest_update(start, n), metrics)) for n in range(1, 6)]


def judged(strategy, hostile, metrics=None):
    """Aggregate a hostile reply before five honest ones, and give its decision."""
    replies = [reply(9, hostile), *honest(metrics)]
    arrays, _ = configured(strategy, START).aggregate_train(1, replies)
    decision, *others = strategy.reports[-1].decisions
    assert arrays is not None
    assert all(other.verdict == "kept" for other in others)
    return decision


def test_records_with_exchanged_names_are_quarantined():
    """Arrays called ``metrics`` and metrics called ``arrays`` made FedAvg raise."""
    exchanged = RecordDict(
        {
            "metrics": record_of(honest_update(START, 9)),
            "arrays": MetricRecord({"num-examples": 10, "train_loss": 1.0}),
        }
    )
    decision = judged(protected(message.FedAvg()), exchanged)
    assert decision.verdict == "quarantined"
    assert "missing 'ArrayRecord arrays', 'MetricRecord metrics'" in decision.reason


@pytest.mark.parametrize(
    "metrics",
    [
        {"num-examples": 10, "recalls (list of 2)": 1.0},
        {"num-examples": 10, "recalls": [10**400, 1]},
        {"num-examples": 10, "recalls": [1, -(10**400)]},
        {"num-examples": 10, "recalls": []},
        {"num-examples": 10, "recalls": 0.5},
    ],
    ids=["a number posing as a list", "huge", "huge and negative", "empty", "a number"],
)
def test_what_cannot_be_averaged_with_a_list_is_quarantined(metrics):
    """Flower would stop at the missing key or the number that is no float."""
    hostile = content(honest_update(START, 9), metrics)
    decision = judged(protected(message.FedAvg()), hostile, LISTED)
    assert decision.verdict == "quarantined"


def test_lists_of_whole_numbers_are_averaged():
    """Counts are lists of integers that fit into 64 bits."""
    metrics = {"num-examples": 10, "counts": [2**62, 0]}
    hostile = content(honest_update(START, 9), metrics)
    assert judged(protected(message.FedAvg()), hostile, metrics).verdict == "kept"


def evaluation(client, loss):
    """Make the result of a legacy evaluation."""
    result = EvaluateRes(Status(Code.OK, ""), loss, 10, {})
    return LegacyClient(client, honest_update), result


@pytest.mark.parametrize(
    "loss",
    [[0.5], [], "low", None, 10**400, True],
    ids=["a list", "an empty list", "text", "none", "huge", "a truth value"],
)
def test_a_legacy_loss_that_is_no_number_is_quarantined(loss):
    """A remote client can send a list: the weighted average raised, the run ended."""
    strategy = protected(legacy.FedAvg())
    results = [evaluation(9, loss), *(evaluation(n, 0.5) for n in range(3))]
    found, _ = strategy.aggregate_evaluate(1, results, [])
    assert found == 0.5
    [report] = strategy.evaluation_reports
    assert "loss: expected a number" in report.decisions[0].reason


def test_a_legacy_result_without_a_weight_is_quarantined():
    """Clients in the same process can leave it out."""
    strategy = protected(legacy.FedAvg())
    results = [
        (LegacyClient(n, honest_update), fit_result(list(START.values()), weight))
        for n, weight in enumerate([10, None, 10])
    ]
    parameters, _ = legacy_round(strategy, results)
    assert parameters is not None
    assert strategy.reports[0].decisions[1].verdict == "quarantined"


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<U9"])
def test_an_array_of_another_shape_is_not_decoded(dtype, monkeypatch):
    """Foreign byte order means a copy, which the shape makes needless."""
    decoded = []

    def noting(data):
        decoded.append(len(data))
        return decode(data)

    decode = flwr_vdcs.admission._reading.decode
    monkeypatch.setattr(flwr_vdcs.admission._reading, "decode", noting)
    large = {**START, "0.weight": np.zeros(10**6, dtype)}
    assert judged(protected(message.FedAvg()), content(large)).verdict == "quarantined"
    assert max(decoded) < 10**5


def test_a_reason_stays_short_whatever_shape_is_claimed():
    """A shape may be said to have thousands of axes, each of a long length."""
    hostile = content(START)
    axes = "(" + "1000000000, " * 500 + ")"
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {axes}, }}\n"
    forged = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()
    hostile["arrays"]["0.weight"].data = forged
    decision = judged(protected(message.FedAvg()), hostile)
    assert decision.verdict == "quarantined"
    assert len(decision.reason) < 200


def test_long_lists_are_not_printed_whole():
    """Only the beginning of a weight that is a list is looked at."""

    class Loud(list):
        def __getitem__(self, item):
            return list.__getitem__(self, item)

        def __repr__(self):
            raise AssertionError("the whole list was printed")

    strategy = protected(legacy.FedAvg())
    results = [
        (LegacyClient(n, honest_update), fit_result(list(START.values()), weight))
        for n, weight in enumerate([10, Loud([1] * 1000), 10])
    ]
    legacy_round(strategy, results)
    assert "found [1, 1, 1" in strategy.reports[0].decisions[1].reason


def pushed_below_zero():
    """Give a global state in which a server's optimiser made a variance negative."""
    variance = START[VARIANCE].copy()
    variance[0] = -0.02
    return {**START, VARIANCE: variance}


@pytest.mark.parametrize("scoring", ["paper", "hardened"])
@pytest.mark.parametrize("still_negative", [True, False])
def test_a_negative_variance_of_the_server_is_not_the_clients_fault(
    scoring, still_negative
):
    """FedAdam and its like do that; once all honest clients were quarantined for it."""
    start = pushed_below_zero()
    updates = [honest_update(start, n) for n in range(1, 6)]
    for update in updates:
        update[VARIANCE] = np.abs(update[VARIANCE])
        update[VARIANCE][0] = -0.01 if still_negative else 0.03
    strategy = configured(protected(message.FedAvg(), 1, scoring=scoring), start)
    replies = [reply(n, content(update)) for n, update in enumerate(updates)]
    strategy.aggregate_train(1, replies)
    [report] = strategy.reports
    assert (report.num_kept, report.num_dropped) == (4, 1)


def test_a_variance_below_the_servers_is_quarantined():
    """Training moves it towards that of a batch, which is not negative."""
    start = pushed_below_zero()
    hostile = honest_update(start, 9)
    hostile[VARIANCE] = np.full_like(start[VARIANCE], -0.03)
    strategy = configured(protected(message.FedAvg()), start)
    good = {**START, VARIANCE: np.abs(START[VARIANCE])}
    replies = [reply(9, content(hostile)), *honest(start=good)]
    strategy.aggregate_train(1, replies)
    verdicts = [decision.verdict for decision in strategy.reports[0].decisions]
    assert verdicts == ["quarantined", *["kept"] * 5]


def test_the_servers_arrays_are_left_as_they_are():
    """Variances are mended in the reference alone, not in what goes out."""
    record = record_of(pushed_below_zero())
    grid = InProcessGrid({n: honest_client(n) for n in range(2)})
    sent = protected(message.FedAvg()).configure_train(1, record, ConfigRecord(), grid)
    for request in sent:
        assert request.content["arrays"][VARIANCE].numpy()[0] == np.float32(-0.02)
