"""Malformed replies and lies about weights: what Flower alone does, and what we do."""

import math
import re
from dataclasses import dataclass
from typing import Any

import flwr.server.strategy as legacy
import flwr.serverapp.strategy as message
import numpy as np
import pytest
from flwr.app import (
    Array,
    ArrayRecord,
    ConfigRecord,
    Error,
    MetricRecord,
    RecordDict,
)
from flwr.common import Code, EvaluateRes, Status, parameters_to_ndarrays

from flwr_vdcs import VirtualConsistencyStrategy
from tests.federation import (
    Arrays,
    LegacyClient,
    arrays_of,
    configured,
    content,
    fit_result,
    honest_update,
    record_of,
    reply,
    seeded,
)
from tests.models import Masked, Tied, batch_norm_cnn, token_ids
from tests.strategies import MESSAGE

NET = seeded(batch_norm_cnn)
START = arrays_of(NET)
HONEST = [honest_update(START, client) for client in range(6)]
FAR = {k: (v + 100).astype(v.dtype) for k, v in HONEST[0].items()}


def with_value(key: str, value: float) -> Arrays:
    """Put one value into one array."""
    arrays = {k: v.copy() for k, v in HONEST[0].items()}
    arrays[key].flat[0] = value
    return arrays


def with_array(key: str, array: np.ndarray) -> Arrays:
    """Replace one array."""
    return {**HONEST[0], key: array}


def without(key: str) -> Arrays:
    """Leave out one array."""
    return {k: v for k, v in HONEST[0].items() if k != key}


def metrics(**changes: Any) -> dict[str, Any]:
    """Change the honest metrics."""
    return {"num-examples": 10, "train_loss": 1.0} | {
        key.replace("_examples", "-examples"): value for key, value in changes.items()
    }


@dataclass(frozen=True)
class Lie:
    """A malformed reply, what FedAvg alone makes of it, and our reason."""

    content: RecordDict
    alone: str
    reason: str


def undecodable(data: bytes, stype: str = "numpy.ndarray") -> RecordDict:
    """Put bytes that are no array into an array record."""
    record = record_of(HONEST[0])
    record["0.weight"] = Array(
        dtype="float32", shape=(4, 1, 3, 3), stype=stype, data=data
    )
    return RecordDict({"arrays": record, "metrics": MetricRecord(metrics())})


RAISES, POISONED, IGNORED = "raises", "poisoned", "ignored"

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
        r"0\.bias: dtype 'complex64' is no real number",
    ),
    "strings": Lie(
        content(with_array("0.bias", np.array(list("abcd")))),
        RAISES,
        r"0\.bias: dtype '<U1' is no real number",
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
    "no arrays": Lie(content(None), RAISES, "exactly one ArrayRecord, found 0"),
    "another serialisation": Lie(
        undecodable(record_of(HONEST[0])["0.weight"].data, "pickle"),
        RAISES,
        "'0.weight': expected serialisation 'numpy.ndarray', found 'pickle'",
    ),
    "numbers wider than 64 bits": Lie(
        content(with_array("0.bias", HONEST[0]["0.bias"].astype(np.longdouble))),
        IGNORED,
        r"0\.bias: dtype 'float128' is no real number of up to 64 bits",
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
        "missing 'record arrays'; not theirs 'record weights'",
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
    "no examples": Lie(
        content(FAR, metrics(num_examples=0)),
        IGNORED,
        "expected a positive number, found 0",
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


def honest_replies(first: int = 1) -> list:
    """Reply honestly from five nodes."""
    return [reply(n, content(HONEST[n])) for n in range(first, 6)]


def aggregate(strategy: Any, replies: list) -> ArrayRecord | None:
    """Aggregate one round."""
    return configured(strategy, START).aggregate_train(1, replies)[0]


def wrapped(num_malicious: float = 0) -> Any:
    """Put the plugin around FedAvg."""
    return VirtualConsistencyStrategy(
        message.FedAvg(),
        model=NET,
        input_shape=(1, 6, 6),
        num_malicious=num_malicious,
        num_virtual_samples=4,
        seed=1,
    )


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


def liar(lie: Lie, node: int = 9) -> Any:
    """Reply with a lie."""
    body = RecordDict(dict(lie.content.items()))
    return reply(node, body)


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
    assert (report.num_quarantined, report.num_dropped) == (len(LIES), 1)
    assert all(np.isfinite(array.numpy()).all() for array in found.values())


def test_only_liars_keep_the_model():
    """With nobody left the wrapped strategy is not called, and the model is kept."""
    strategy = wrapped()
    found = aggregate(strategy, [liar(LIES["NaN"]), liar(LIES["wrong shape"], 10)])
    assert found is None
    assert strategy.reports[0].num_quarantined == 2
    assert not strategy.reports[0].skipped


def test_the_second_reply_of_a_client_is_quarantined():
    """A client that answers twice counts once."""
    strategy = wrapped()
    aggregate(strategy, [*honest_replies(), reply(3, content(HONEST[0]))])
    *first, second = strategy.reports[0].decisions
    assert all(decision.verdict == "kept" for decision in first)
    assert second.reason == "this client has answered already"


def test_a_client_that_answers_often_has_one_vote():
    """Six replies of one client do not outvote five honest clients."""
    strategy = wrapped()
    shout = content(HONEST[0], metrics(more=1, num_examples=10**9))
    aggregate(strategy, [*[reply(9, shout) for _ in range(6)], *honest_replies()])
    [report] = strategy.reports
    assert (report.num_kept, report.num_quarantined) == (5, 6)


def test_numpys_integers_are_weights():
    """In-process clients of the legacy API often count with NumPy."""
    strategy = legacy_configured(
        VirtualConsistencyStrategy(
            legacy.FedAvg(), model=NET, input_shape=(1, 6, 6), num_malicious=0
        )
    )
    client = LegacyClient(9, honest_update)
    legacy_aggregate(strategy, [(client, fit_result(VALUES, np.int64(10)))])
    assert strategy.reports[0].num_kept == 1


def test_quarantined_clients_do_not_count_towards_num_malicious():
    """One liar and one dropped client leave four of six."""
    strategy = wrapped(num_malicious=1)
    aggregate(strategy, [liar(LIES["NaN"]), *honest_replies()])
    [report] = strategy.reports
    assert (report.num_kept, report.num_dropped, report.num_quarantined) == (4, 1, 1)


def permuted(arrays: Arrays) -> Arrays:
    """Send the keys the other way round."""
    return dict(reversed(arrays.items()))


def as_float64(arrays: Arrays) -> Arrays:
    """Send wider numbers than asked for."""
    return {k: v.astype(np.float64) for k, v in arrays.items()}


def as_big_endian(arrays: Arrays) -> Arrays:
    """Send another order of bytes."""
    return {k: v.astype(v.dtype.newbyteorder(">")) for k, v in arrays.items()}


@pytest.mark.parametrize("change", [permuted, as_float64, as_big_endian])
def test_order_and_dtype_are_mended_not_punished(change):
    """What only looks different arrives in the global order and dtype."""
    seen = []

    class Recording(message.FedAvg):
        def aggregate_train(self, server_round, replies):
            seen.extend(replies)
            return super().aggregate_train(server_round, replies)

    strategy = VirtualConsistencyStrategy(
        Recording(), model=NET, input_shape=(1, 6, 6), num_malicious=0
    )
    changed = reply(9, content(change(HONEST[0])))
    mended = aggregate(strategy, [changed, *honest_replies()])
    plain = [reply(9, content(HONEST[0])), *honest_replies()]
    assert mended == aggregate(message.FedAvg(), plain)
    found = {k: a.numpy() for k, a in seen[0].content["arrays"].items()}
    assert [(k, v.dtype) for k, v in found.items()] == [
        (k, v.dtype) for k, v in START.items()
    ]


@pytest.mark.parametrize(("value", "verdict"), [(9e14, "kept"), (2e15, "quarantined")])
def test_values_that_no_training_gives_are_quarantined(value, verdict):
    """Beyond 1e15 an aggregate could overflow; below, size is the score's business."""
    strategy = wrapped()
    arrays = with_array("4.bias", np.full(3, value, np.float32))
    aggregate(strategy, [reply(9, content(arrays)), *honest_replies()])
    assert strategy.reports[0].decisions[0].verdict == verdict


@pytest.mark.parametrize("name", ["FedAvg", "FedAdam", "FedYogi", "FedMedian"])
def test_the_largest_values_admitted_leave_a_finite_model(name):
    """Three rounds with extreme heads of either sign stay finite in float32."""
    strategy = VirtualConsistencyStrategy(
        MESSAGE[name](), model=NET, input_shape=(1, 6, 6), num_malicious=0
    )
    arrays = START
    for sign in (1, -1, 1):
        extreme = with_array("4.bias", np.full(3, sign * 9e14, np.float32))
        replies = [reply(9, content(extreme)), *honest_replies()]
        configured(strategy, arrays)
        found, _ = strategy.aggregate_train(1, replies)
        arrays = {k: a.numpy() for k, a in found.items()}
        assert strategy.reports[-1].num_quarantined == 0
        assert all(np.isfinite(v.astype(np.float32)).all() for v in arrays.values())


def test_one_reply_of_another_dtype_does_not_split_the_round():
    """Where dtypes differ, all get the global one."""
    seen = []

    class Recording(message.FedAvg):
        def aggregate_train(self, server_round, replies):
            seen.extend(replies)
            return None, None

    strategy = VirtualConsistencyStrategy(
        Recording(), model=NET, input_shape=(1, 6, 6), num_malicious=0
    )
    wide = {k: v.astype(np.float64) for k, v in START.items()}
    liar_reply = reply(9, content(as_float64(HONEST[0])))
    configured(strategy, wide).aggregate_train(1, [liar_reply, *honest_replies()])
    dtypes = {a.dtype for r in seen for a in r.content["arrays"].values()}
    assert dtypes == {"float64"}


def test_equal_weights_forward_errors_as_they_are():
    """A client that crashed has no weight to be made equal."""
    strategy = VirtualConsistencyStrategy(
        message.FedAvg(),
        model=NET,
        input_shape=(1, 6, 6),
        num_malicious=0,
        equal_weights=True,
    )
    replies = [reply(9, Error(0, "crashed")), *honest_replies()]
    assert aggregate(strategy, replies) is not None


def test_refused_replies_have_no_say_in_what_is_typical():
    """More liars than honest clients, with other metrics, change nothing."""
    liars = [
        reply(20 + n, content(with_value("0.weight", math.nan), metrics(more=n)))
        for n in range(6)
    ]
    shouts = [
        reply(30 + n, content(HONEST[0], metrics(more=1, num_examples=-1)))
        for n in range(6)
    ]
    strategy = wrapped()
    found = aggregate(strategy, [*liars, *shouts, *honest_replies()])
    assert found == aggregate(message.FedAvg(), honest_replies())


def test_legacy_bulyan_below_its_quorum_keeps_the_model(flower_log):
    """A quarantine that leaves too few for Bulyan skips the round."""
    strategy = legacy_configured(
        VirtualConsistencyStrategy(
            legacy.Bulyan(num_malicious_clients=1, to_keep=0),
            model=NET,
            input_shape=(1, 6, 6),
            num_malicious=0,
        )
    )
    bad = (LegacyClient(9, honest_update), fit_result(VALUES[:-1]))
    more = (LegacyClient(8, honest_update), fit_result(VALUES))
    assert legacy_aggregate(strategy, [bad, more, *legacy_results()]) is None
    assert "needs 7 updates and 6 are left" in flower_log.text


def test_a_client_id_cannot_write_lines_into_the_log(flower_log):
    """What is not printable is quoted."""
    strategy = legacy_configured(
        VirtualConsistencyStrategy(
            legacy.FedAvg(), model=NET, input_shape=(1, 6, 6), num_malicious=0
        )
    )
    client = LegacyClient(9, honest_update)
    client.cid = "9\nWARNING: all is well"
    legacy_aggregate(strategy, [(client, fit_result([]))])
    assert "Client '9\\nWARNING" in flower_log.text


def test_an_extra_config_record_is_allowed():
    """Records that Flower does not aggregate are the client's own business."""
    strategy = wrapped()
    extra = content(HONEST[0], notes=ConfigRecord({"partition": 3}))
    aggregate(strategy, [reply(9, extra), *honest_replies()])
    assert strategy.reports[0].decisions[0].verdict == "kept"


@pytest.mark.parametrize("loss", [math.nan, -1.0, math.inf, 1e60, [1.0]])
def test_a_lie_about_the_loss_is_quarantined_where_it_weighs(loss):
    """q-FedAvg weighs clients by their loss, so one NaN would ruin the model."""
    strategy = VirtualConsistencyStrategy(
        message.QFedAvg(client_learning_rate=0.1),
        model=NET,
        input_shape=(1, 6, 6),
        num_malicious=0,
    )
    arrays = {k: v for k, v in HONEST[0].items() if not k.endswith("tracked")}
    start = {k: START[k] for k in arrays}
    replies = [reply(n, content(arrays)) for n in range(4)]
    liar_reply = reply(9, content(arrays, metrics(train_loss=loss)))
    found, _ = configured(strategy, start).aggregate_train(1, [liar_reply, *replies])
    assert "train_loss: expected a number from 0 to 1e+06" in (
        strategy.reports[0].decisions[0].reason
    )
    assert all(np.isfinite(array.numpy()).all() for array in found.values())


def test_a_strategy_without_weights_needs_none():
    """A strategy of one's own that weighs nobody takes replies without a weight."""

    class Unweighted(message.Strategy):
        def configure_train(self, server_round, arrays, config, grid):
            return []

        def aggregate_train(self, server_round, replies):
            return next(iter(replies)).content["arrays"], None

        def configure_evaluate(self, server_round, arrays, config, grid):
            return []

        def aggregate_evaluate(self, server_round, replies):
            return None

        def summary(self):
            pass

    strategy = VirtualConsistencyStrategy(
        Unweighted(),
        model=NET,
        input_shape=(1, 6, 6),
        num_malicious=0,
        equal_weights=True,
    )
    replies = [reply(n, content(HONEST[n], {"loss": 1.0})) for n in range(3)]
    assert aggregate(strategy, replies) == replies[0].content["arrays"]


EVALUATION_LIES = {
    "no metrics": (RecordDict(), "exactly one MetricRecord, found 0"),
    "extra metric": (content(None, metrics(more=1)), "not theirs 'metric more'"),
    "zero weight": (content(None, metrics(num_examples=0)), "found 0"),
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


VALUES = list(HONEST[0].values())
KEYS = list(HONEST[0])


def positioned(key: str, array: np.ndarray) -> list[np.ndarray]:
    """Replace one array of a legacy result."""
    return [array if k == key else v for k, v in HONEST[0].items()]


def torn_result() -> Any:
    """Cut off one array's bytes."""
    result = fit_result(VALUES)
    result.parameters.tensors[0] = result.parameters.tensors[0][:-3]
    return result


LEGACY_LIES = {
    "NaN": (
        lambda: fit_result(positioned("0.bias", np.full(4, np.nan, np.float32))),
        POISONED,
        r"array 1 \(0\.bias\): .* found nan to nan",
    ),
    "wrong shape": (
        lambda: fit_result(positioned("0.bias", np.zeros(5, np.float32))),
        RAISES,
        r"array 1 \(0\.bias\): expected shape \(4,\), found \(5,\)",
    ),
    "missing array": (
        lambda: fit_result(VALUES[:-1]),
        RAISES,
        "expected 9 arrays, found 8",
    ),
    "extra array": (lambda: fit_result([*VALUES, VALUES[0]]), RAISES, "found 10"),
    "no arrays": (lambda: fit_result([]), RAISES, "found none"),
    "torn bytes": (torn_result, RAISES, "needs more than the 141 bytes found"),
    "huge weight": (
        lambda: fit_result(list(FAR.values()), 10**12),
        POISONED,
        "at most 1000 times the median 10",
    ),
    "NaN weight": (
        lambda: fit_result(list(FAR.values()), math.nan),
        POISONED,
        "found nan",
    ),
    "negative weight": (
        lambda: fit_result(list(FAR.values()), -49),
        POISONED,
        "found -49",
    ),
    "weights that cancel out": (
        lambda: fit_result(list(FAR.values()), -50),
        RAISES,
        "found -50",
    ),
    "extra metric": (
        lambda: fit_result(VALUES, 10, {"loss": 1.0, "more": 2.0}),
        IGNORED,
        "not theirs 'metric loss', 'metric more'",
    ),
    "text for a metric": (
        lambda: fit_result(VALUES, 10, {"accuracy": "high"}),
        IGNORED,
        r"not theirs 'metric accuracy \(str\)'",
    ),
}


def legacy_results(first: int = 1) -> list:
    """Give the results of five honest clients."""
    return [
        (LegacyClient(n, honest_update), fit_result(list(HONEST[n].values())))
        for n in range(first, 6)
    ]


def legacy_configured(strategy: Any) -> Any:
    """Show a legacy strategy the global model."""
    parameters = fit_result(list(START.values())).parameters
    strategy._guard.start_round(
        {str(i): tensor for i, tensor in enumerate(parameters.tensors)}
    )
    return strategy


def legacy_aggregate(strategy: Any, results: list) -> list[np.ndarray] | None:
    """Aggregate one legacy round."""
    parameters, _ = strategy.aggregate_fit(1, results, [])
    return None if parameters is None else parameters_to_ndarrays(parameters)


@pytest.mark.parametrize(
    ("make", "alone", "reason"), LEGACY_LIES.values(), ids=LEGACY_LIES
)
def test_a_legacy_liar_is_quarantined(make, alone, reason):
    """In the legacy API too a lie ends or poisons the run alone, and not here."""
    liar_result = (LegacyClient(9, honest_update), make())
    expected = legacy_aggregate(legacy.FedAvg(), legacy_results())
    assert alone_in_legacy(liar_result, expected) == alone

    strategy = legacy_configured(
        VirtualConsistencyStrategy(
            legacy.FedAvg(), model=NET, input_shape=(1, 6, 6), num_malicious=0
        )
    )
    found = legacy_aggregate(
        strategy, [(LegacyClient(9, honest_update), make()), *legacy_results()]
    )
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert re.search(reason, strategy.reports[0].decisions[0].reason)


def test_a_legacy_crowd_of_every_lie_is_quarantined():
    """All legacy lies at once, more than there are honest clients, change nothing."""
    crowd = [
        (LegacyClient(100 + place, honest_update), make())
        for place, (make, _, _) in enumerate(LEGACY_LIES.values())
    ]
    strategy = legacy_configured(
        VirtualConsistencyStrategy(
            legacy.FedAvg(), model=NET, input_shape=(1, 6, 6), num_malicious=0
        )
    )
    found = legacy_aggregate(strategy, [*crowd[:5], *legacy_results(), *crowd[5:]])
    expected = legacy_aggregate(legacy.FedAvg(), legacy_results())
    assert strategy.reports[0].num_quarantined == len(LEGACY_LIES)
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def alone_in_legacy(liar_result: Any, expected: list[np.ndarray]) -> str:
    """See what legacy FedAvg alone makes of a liar."""
    try:
        with np.errstate(all="ignore"):
            found = legacy_aggregate(legacy.FedAvg(), [*legacy_results(), liar_result])
    except Exception:  # noqa: BLE001  # whatever ends the run
        return RAISES
    pairs = zip(found, expected, strict=True)
    near = all(np.allclose(a, b, atol=0.2) for a, b in pairs if a.ndim)
    return IGNORED if near else POISONED


def test_lies_in_a_legacy_evaluation_are_quarantined():
    """A weight of NaN would make the loss NaN."""
    strategy = VirtualConsistencyStrategy(
        legacy.FedAvg(), model=NET, input_shape=(1, 6, 6), num_malicious=0
    )

    def evaluation(client: int, weight: float) -> Any:
        result = EvaluateRes(Status(Code.OK, ""), 0.5, weight, {})
        return LegacyClient(client, honest_update), result

    honest = [evaluation(n, 10) for n in range(3)]
    loss, _ = strategy.aggregate_evaluate(1, [evaluation(9, math.nan), *honest], [])
    assert loss == 0.5
    assert strategy.evaluation_reports[0].num_quarantined == 1
    assert strategy.aggregate_evaluate(1, [evaluation(9, 0)], []) == (None, {})


def test_two_values_for_one_parameter():
    """Only one of them would be looked at, and clients might load the other."""
    start = arrays_of(seeded(Tied))
    strategy = VirtualConsistencyStrategy(
        message.FedAvg(),
        model=Tied(),
        input_shape=(7,),
        virtual_samples=token_ids,
        num_malicious=1,
    )
    replies = []
    for node in range(5):
        arrays = honest_update(start, node)
        other = 1e6 if node == 3 else 0
        arrays["head.weight"] = arrays["embedding.weight"] + np.float32(other)
        replies.append(reply(node, content(arrays)))
    configured(strategy, start).aggregate_train(1, replies)
    decisions = strategy.reports[0].decisions
    assert [d.verdict == "quarantined" for d in decisions] == [n == 3 for n in range(5)]
    assert decisions[3].reason.startswith("head.weight: expected the values of embed")


@pytest.mark.parametrize("scoring", ["paper", "hardened"])
@pytest.mark.parametrize("num_malicious", [0, 1])
def test_infinite_values_are_kept_as_long_as_nobody_changes_them(
    scoring, num_malicious
):
    """A causal mask travels with the model; a lie in it is one all the same."""
    start = arrays_of(seeded(Masked))
    strategy = VirtualConsistencyStrategy(
        message.FedAvg(),
        model=Masked(),
        input_shape=(4,),
        num_malicious=num_malicious,
        scoring=scoring,
    )
    kept = [honest_update(start, node) | {"mask": start["mask"]} for node in range(5)]
    lie = kept[0] | {"mask": np.full((4, 4), -np.inf, np.float32)}
    replies = [reply(node, content(arrays)) for node, arrays in enumerate([*kept, lie])]
    found, _ = configured(strategy, start).aggregate_train(1, replies)
    report = strategy.reports[0]
    assert (report.num_quarantined, report.num_dropped) == (1, num_malicious)
    assert report.decisions[5].reason.startswith("mask: expected finite values")
    assert np.array_equal(found["mask"].numpy(), start["mask"])
    assert np.isfinite(found["body.weight"].numpy()).all()
