"""Malformed replies and lies: what Flower alone does, and what we do."""

import math
import re

import flwr.serverapp.strategy as message
import numpy as np
import pytest
from flwr.app import (
    ArrayRecord,
    MetricRecord,
    RecordDict,
)

from tests.admission.lies import (
    FAR,
    HONEST,
    IGNORED,
    POISONED,
    RAISES,
    Lie,
    aggregate,
    honest_replies,
    liar,
    metrics,
    undecodable,
    with_array,
    with_value,
    without,
    wrapped,
)
from tests.federation import (
    content,
    record_of,
)

LIES = {
    "NaN": Lie(
        content(with_value("0.weight", math.nan)),
        POISONED,
        r"0\.weight: expected finite values from .* found nan to nan",
    ),
    "negative variance": Lie(
        content(with_value("1.running_var", -1e3)),
        POISONED,
        r"1\.running_var: expected finite values from 0",
    ),
    "infinity": Lie(
        content(with_value("1.running_var", math.inf)),
        POISONED,
        r"1\.running_var: expected finite values from 0 to 1e\+15, found .* to inf",
    ),
    "wrong shape": Lie(
        content(with_array("0.bias", np.zeros(5, np.float32))),
        RAISES,
        r"0\.bias: expected shape \(4,\), found \(5,\)",
    ),
    "broadcastable shape": Lie(
        content(with_array("0.bias", np.full(1, 1e6, np.float32))),
        POISONED,
        r"0\.bias: expected shape \(4,\), found \(1,\)",
    ),
    "missing key": Lie(content(without("0.bias")), RAISES, r"missing '0\.bias'"),
    "extra key": Lie(
        content(with_array("more", np.zeros(2))), RAISES, "not in the model 'more'"
    ),
    "thousands of keys": Lie(
        content(HONEST[0] | {f"x{i}": np.zeros(1) for i in range(2000)}),
        RAISES,
        "found 2009; not in the model .* and 1997 more",
    ),
    "complex numbers": Lie(
        content(with_array("0.bias", np.ones(4, np.complex64))),
        RAISES,
        r"0\.bias: expected shape \(4,\), found complex \(4,\)",
    ),
    "strings": Lie(
        content(with_array("0.bias", np.array(list("abcd")))),
        RAISES,
        r"0\.bias: dtype '<U1' is no number",
    ),
    "fractions for counts": Lie(
        content(with_array("1.num_batches_tracked", np.array(0.5, np.float32))),
        IGNORED,
        "expected torch.int64, found fractions",
    ),
    "counters far from the others'": Lie(
        content(with_array("1.num_batches_tracked", np.array(10**9))),
        IGNORED,
        "num_batches_tracked: expected a change of at most 1000, found 1e\\+09",
    ),
    "values too large for the dtype": Lie(
        content(with_array("0.bias", np.full(4, 1e300))),
        POISONED,
        r"0\.bias: expected finite values .*, found 1e\+300 to 1e\+300",
    ),
    "bytes that are no array": Lie(
        undecodable(b"nonsense"), RAISES, r"0\.weight: the bytes are not a NumPy array"
    ),
    "no arrays": Lie(content(None), RAISES, "expected 9 arrays, found 0"),
    "another serialisation": Lie(
        undecodable(record_of(HONEST[0])["0.weight"].data, "pickle"),
        RAISES,
        "'0.weight': expected serialisation 'numpy.ndarray', found 'pickle'",
    ),
    "numbers wider than 64 bits": Lie(
        content(with_array("0.bias", HONEST[0]["0.bias"].astype(np.longdouble))),
        IGNORED,
        r"0\.bias: dtype 'float128' is no number that PyTorch can read",
    ),
    "empty arrays": Lie(content({}), RAISES, "expected 9 arrays, found 0"),
    "two array records": Lie(
        content(HONEST[0], second=record_of(HONEST[0])),
        RAISES,
        "exactly one ArrayRecord, found 2",
    ),
    "another record name": Lie(
        RecordDict(
            {"weights": record_of(HONEST[0]), "metrics": MetricRecord(metrics())}
        ),
        RAISES,
        "missing 'ArrayRecord arrays'; not theirs 'ArrayRecord weights'",
    ),
    "no metrics": Lie(
        RecordDict({"arrays": record_of(HONEST[0])}),
        RAISES,
        "exactly one MetricRecord, found 0",
    ),
    "extra metric": Lie(
        content(HONEST[0], metrics(more=1)), RAISES, "not theirs 'metric more'"
    ),
    "list for a metric": Lie(
        content(HONEST[0], metrics(train_loss=[1.0])),
        RAISES,
        r"not theirs 'metric train_loss \(list of 1\)'",
    ),
    "no weight": Lie(
        content(HONEST[0], {"train_loss": 1.0}),
        RAISES,
        "expected the metric 'num-examples'",
    ),
    "list for a weight": Lie(
        content(HONEST[0], metrics(num_examples=[10])), RAISES, r"found \[10\]"
    ),
    "huge weight": Lie(
        content(FAR, metrics(num_examples=10**12)),
        POISONED,
        "at most 1000 times the median 10, found 1000000000000",
    ),
    "negative weight": Lie(
        content(FAR, metrics(num_examples=-49)), POISONED, "found -49"
    ),
    "weights that cancel out": Lie(
        content(FAR, metrics(num_examples=-50)), RAISES, "found -50"
    ),
    "NaN weight": Lie(
        content(FAR, metrics(num_examples=math.nan)), POISONED, "found nan"
    ),
    "unprintable weight": Lie(
        content(FAR, metrics(num_examples=10**5000)),
        POISONED,
        "found a int too long to print",
    ),
}


lies = pytest.mark.parametrize("lie", LIES.values(), ids=LIES)


def is_close(found: ArrayRecord, expected: ArrayRecord) -> bool:
    """Tell whether every array is nearly the same."""
    return all(
        np.allclose(found[key].numpy(), expected[key].numpy(), atol=0.2)
        for key in expected
        if key != "1.num_batches_tracked"
    )


def without_plugin(lie: Lie, expected: ArrayRecord) -> str:
    """See what FedAvg alone makes of a lie among honest replies."""
    try:
        with np.errstate(all="ignore"):
            found = aggregate(message.FedAvg(), [*honest_replies(), liar(lie)])
    except Exception:  # noqa: BLE001  # whatever ends the run
        return RAISES
    return IGNORED if is_close(found, expected) else POISONED


@lies
def test_one_liar_ends_or_poisons_flower_and_is_quarantined_here(lie):
    """Alone: the run ends or the model is poisoned. Here: the honest are averaged."""
    expected = aggregate(message.FedAvg(), honest_replies())
    assert without_plugin(lie, expected) == lie.alone

    strategy = wrapped()
    found = aggregate(strategy, [liar(lie), *honest_replies()])
    assert {k: a.data for k, a in found.items()} == {
        k: a.data for k, a in expected.items()
    }
    decision, *others = strategy.reports[0].decisions
    assert decision.client_id == "9"
    assert (decision.verdict, decision.score) == ("quarantined", None)
    assert re.search(lie.reason, decision.reason), decision.reason
    assert all(other.verdict == "kept" for other in others)


@lies
def test_a_crowd_of_liars_is_quarantined(lie):
    """Four liars of one kind around five honest clients change nothing."""
    expected = aggregate(message.FedAvg(), honest_replies())
    crowd = [liar(lie, node) for node in range(11, 15)]
    strategy = wrapped()
    found = aggregate(strategy, [*crowd[:2], *honest_replies(), *crowd[2:]])
    assert found == expected
    assert strategy.reports[0].num_quarantined == 4


def test_a_crowd_of_every_lie_is_quarantined():
    """All lies at once, more than there are honest clients, change nothing."""
    crowd = [liar(lie, 100 + place) for place, lie in enumerate(LIES.values())]
    strategy = wrapped(num_malicious=1)
    found = aggregate(strategy, [*honest_replies(), *crowd])
    [report] = strategy.reports
    assert (report.num_quarantined, report.num_dropped) == (len(LIES), 0)
    assert all(np.isfinite(array.numpy()).all() for array in found.values())


def test_only_liars_keep_the_model():
    """With nobody left the wrapped strategy is not called, and the model is kept."""
    strategy = wrapped()
    found = aggregate(strategy, [liar(LIES["NaN"]), liar(LIES["wrong shape"], 10)])
    assert found is None
    assert strategy.reports[0].num_quarantined == 2
    assert not strategy.reports[0].skipped


@pytest.mark.parametrize(("num_malicious", "num_dropped"), [(1, 0), (2, 1), (0.4, 1)])
def test_the_quarantined_count_among_the_malicious(num_malicious, num_dropped):
    """One of M liars is found already; of six a fraction of 0.4 is two."""
    strategy = wrapped(num_malicious=num_malicious)
    aggregate(strategy, [liar(LIES["NaN"]), *honest_replies()])
    [report] = strategy.reports
    assert (report.num_dropped, report.num_quarantined) == (num_dropped, 1)
