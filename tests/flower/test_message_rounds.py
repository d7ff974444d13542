"""Whole rounds of the Message API, through Flower's own loop and strategies."""

import copy

import flwr.serverapp.strategy as flower
import numpy as np
import pytest
from flwr.app import ArrayRecord, Error, RecordDict

from flwr_vdcs import VirtualConsistencyStrategy
from flwr_vdcs.errors import ArraysMismatchError, RoundOrderError
from tests.federation import (
    InProcessGrid,
    arrays_of,
    configured,
    content,
    honest_client,
    honest_update,
    record_of,
    reply,
    reversed_update,
    seeded,
)
from tests.models import batch_norm_cnn, mlp
from tests.strategies import MESSAGE, MESSAGE_DP

NET = seeded(batch_norm_cnn)
MLP = seeded(mlp)


def wrap(inner, model=NET, **options):
    """Put the plugin around a strategy."""
    shape = (1, 6, 6) if model is NET else (3, 4)
    settings = {
        "scoring": "paper",
        "num_malicious": 0,
        "num_virtual_samples": 8,
        "seed": 1,
        **options,
    }
    return VirtualConsistencyStrategy(inner, model=model, input_shape=shape, **settings)


def run(strategy, model=NET, clients=None, num_rounds=2):
    """Run Flower's own loop over clients that answer in process."""
    np.random.seed(0)  # noqa: NPY002  # Flower's DP draws from the global generator
    grid = InProcessGrid(clients or {node: honest_client(node) for node in range(1, 8)})
    return strategy.start(grid, record_of(arrays_of(model)), num_rounds)


def poisoned_client(client):
    """Answer honestly but with the update reversed."""
    honest = honest_client(client)

    def answer(body, message_type):
        reply_content = honest(body, message_type)
        if message_type == "train":
            arrays = {k: a.numpy() for k, a in body["arrays"].items()}
            reply_content["arrays"] = record_of(reversed_update(arrays, client))
        return reply_content

    return answer


def same(left: ArrayRecord, right: ArrayRecord) -> bool:
    """Tell whether two records are equal bit for bit, dtypes and order included."""
    return [(k, a.data) for k, a in left.items()] == [
        (k, a.data) for k, a in right.items()
    ]


def without_counts(metrics):
    """Leave out what the plugin adds."""
    return {k: v for k, v in metrics.items() if not k.startswith("vdcs-")}


@pytest.mark.parametrize("scoring", ["paper", "hardened"])
@pytest.mark.parametrize("name", MESSAGE)
def test_dropping_nobody_changes_nothing(name, scoring):
    """With num_malicious=0 every strategy gives what it gives alone, bit for bit."""
    model = MLP if name == "QFedAvg" else NET
    alone = run(MESSAGE[name](), model)
    wrapped = run(wrap(MESSAGE[name](), model, scoring=scoring), model)
    assert same(wrapped.arrays, alone.arrays)
    for server_round, metrics in alone.train_metrics_clientapp.items():
        found = wrapped.train_metrics_clientapp[server_round]
        assert without_counts(found) == dict(metrics)
        assert found["vdcs-num-kept"] == 7
    assert wrapped.evaluate_metrics_clientapp == alone.evaluate_metrics_clientapp


def test_a_round_without_any_answer_ends_nothing():
    """Some strategies of Flower divide by the number of replies."""
    arrays = arrays_of(NET)
    dividing = MESSAGE_DP["server adaptive"](flower.FedAvg())
    with pytest.raises(ZeroDivisionError):
        configured(dividing, arrays).aggregate_train(1, [])
    found, metrics = configured(wrap(dividing), arrays).aggregate_train(1, [])
    assert found is None
    assert metrics["vdcs-num-kept"] == 0


@pytest.mark.parametrize("num_clients", [0, 1, 2, 3, 4])
def test_dropping_nobody_changes_nothing_for_any_number_of_replies(num_clients):
    """Also with fewer replies than could be compared."""
    arrays = arrays_of(NET)

    def aggregate(strategy):
        replies = [
            reply(node, content(honest_update(arrays, node)))
            for node in range(num_clients)
        ]
        return configured(strategy, arrays).aggregate_train(1, replies)[0]

    alone, wrapped = aggregate(flower.FedAvg()), aggregate(wrap(flower.FedAvg()))
    assert (alone is None and wrapped is None) or same(alone, wrapped)


@pytest.mark.parametrize("name", MESSAGE_DP)
@pytest.mark.parametrize("outside", [True, False], ids=["DP(ours)", "ours(DP)"])
def test_differential_privacy_works_inside_and_outside(name, outside):
    """The DP wrappers go around the plugin and the plugin around them, bit for bit."""
    private = MESSAGE_DP[name]
    clients = {node: with_norm_bit(honest_client(node)) for node in range(1, 8)}
    alone = run(private(flower.FedAvg()), clients=clients)
    if outside:
        wrapped = run(private(wrap(flower.FedAvg())), clients=clients)
    else:
        wrapped = run(wrap(private(flower.FedAvg())), clients=clients)
    assert same(wrapped.arrays, alone.arrays)


def with_norm_bit(client):
    """Report the norm bit that client-side adaptive clipping asks for."""

    def answer(body, message_type):
        answered = client(body, message_type)
        if message_type == "train":
            answered["metrics"]["norm_bit"] = 1
        return answered

    return answer


def test_poisoned_updates_are_dropped_and_the_rest_averaged():
    """Two reversed updates of seven score lowest; FedAvg averages the other five."""
    clients = {node: honest_client(node) for node in range(1, 8)}
    honest = {node: clients[node] for node in (1, 2, 4, 5, 7)}
    poisoned = {node: poisoned_client(node) for node in (3, 6)}
    strategy = wrap(flower.FedAvg(), num_malicious=2)
    result = run(strategy, clients={**clients, **poisoned})
    assert same(result.arrays, run(flower.FedAvg(), clients=honest).arrays)
    for report in strategy.reports:
        dropped = [d.client_id for d in report.decisions if d.verdict == "dropped"]
        assert dropped == ["3", "6"]
        assert (report.num_kept, report.num_dropped, report.num_quarantined) == (
            5,
            2,
            0,
        )
    assert result.train_metrics_clientapp[2]["vdcs-num-dropped"] == 2


def test_replies_reach_the_wrapped_strategy_untouched_and_in_order():
    """The very objects that were kept arrive, with errors in their places."""
    arrays, seen = arrays_of(NET), []

    class Recording(flower.FedAvg):
        def aggregate_train(self, server_round, replies):
            seen.extend(replies)
            return None, None

    strategy = configured(wrap(Recording(), num_malicious=1), arrays)
    replies = [
        reply(1, content(honest_update(arrays, 1))),
        reply(2, Error(0, "out of memory")),
        reply(3, content(reversed_update(arrays, 3))),
        reply(4, content(honest_update(arrays, 4))),
        reply(5, content(honest_update(arrays, 5))),
    ]
    before = copy.deepcopy(replies[3].content)
    strategy.aggregate_train(1, iter(replies))
    assert [r.metadata.src_node_id for r in seen] == [1, 2, 4, 5]
    assert all(r is replies[i] for r, i in zip(seen, (0, 1, 3, 4), strict=True))
    assert replies[3].content == before


def test_equal_weights_average_without_weights():
    """Eq. 20: whatever the clients claim, the mean is unweighted."""
    result = run(wrap(flower.FedAvg(), equal_weights=True), num_rounds=1)
    start = arrays_of(NET)
    updates = [honest_update(start, node) for node in range(1, 8)]
    for key, array in result.arrays.items():
        mean = np.mean([np.float64(u[key]) for u in updates], axis=0)
        np.testing.assert_allclose(array.numpy(), mean, rtol=1e-5, atol=1e-6)
    losses = [1.0 + node / 10 for node in range(1, 8)]
    metrics = result.train_metrics_clientapp[1]
    assert metrics["train_loss"] == pytest.approx(np.mean(losses))


@pytest.mark.parametrize(
    ("num_replies", "num_malicious"), [(0, 1), (2, 1), (3, 2), (4, 7)]
)
def test_too_few_replies_skip_the_round(num_replies, num_malicious, flower_log):
    """With anything to drop and too few to compare, the model is kept."""
    arrays = arrays_of(NET)
    strategy = configured(wrap(flower.FedAvg(), num_malicious=num_malicious), arrays)
    replies = [reply(n, content(honest_update(arrays, n))) for n in range(num_replies)]
    aggregate, metrics = strategy.aggregate_train(1, replies)
    [report] = strategy.reports
    assert aggregate is None
    assert report.skipped
    assert metrics["vdcs-num-kept"] == report.num_kept == 0
    assert report.num_dropped == num_replies
    assert "Round 1 is skipped and the model kept" in flower_log.text


def test_a_skipped_round_does_not_end_the_run():
    """A round in which all but two clients fail is skipped; the next goes on."""

    def failing_once(node):
        honest, asked = honest_client(node), []

        def answer(body, message_type):
            asked.append(message_type)
            if asked == ["train"]:
                return Error(0, "interrupted")
            return honest(body, message_type)

        return answer

    clients = {node: honest_client(node) for node in (1, 2)}
    clients |= {node: failing_once(node) for node in range(3, 8)}
    strategy = wrap(flower.FedAvg(), num_malicious=1)
    run(strategy, clients=clients)
    assert [report.skipped for report in strategy.reports] == [True, False]


def test_arrays_without_names_are_taken_by_position():
    """A record made from a list of arrays has places for keys, and works."""
    arrays = dict(enumerate(arrays_of(NET).values()))
    named = {str(place): values for place, values in arrays.items()}
    strategy = configured(wrap(flower.FedAvg(), num_malicious=1), named)
    replies = [reply(n, content(honest_update(named, n))) for n in range(4)]
    aggregate, _ = strategy.aggregate_train(
        1, [*replies[:3], reply(9, content(reversed_update(named, 9)))]
    )
    assert list(aggregate) == list(named)
    assert strategy.reports[0].decisions[3].verdict == "dropped"


def test_arrays_of_another_model_fail_before_any_message_is_sent():
    """The first round names the keys that do not fit."""
    with pytest.raises(ArraysMismatchError, match=r"1\.weight has shape"):
        run(wrap(flower.FedAvg()), model=MLP)


def test_aggregating_before_configuring_is_an_error():
    """Updates cannot be judged without the model they started from."""
    with pytest.raises(RoundOrderError, match="configure_train"):
        wrap(flower.FedAvg()).aggregate_train(1, [])


def test_a_later_round_may_have_wider_arrays():
    """FedAdam's aggregate is float64 throughout; float32 clients stay untouched."""
    strategy = wrap(flower.FedAdam(), num_malicious=1)

    def float32_client(node):
        honest = honest_client(node)

        def answer(body, message_type):
            answered = honest(body, message_type)
            if message_type == "train":
                narrow = {
                    k: a.numpy().astype(v.dtype)
                    for (k, a), v in zip(
                        answered["arrays"].items(), arrays_of(NET).values(), strict=True
                    )
                }
                answered["arrays"] = record_of(narrow)
            return answered

        return answer

    result = run(strategy, clients={n: float32_client(n) for n in range(1, 8)})
    assert {a.numpy().dtype for a in result.arrays.values()} == {np.dtype("float64")}
    assert [r.num_dropped for r in strategy.reports] == [1, 1]
    assert not any(r.num_quarantined for r in strategy.reports)


def test_features_that_overflow_agree_with_nobody():
    """An update whose features are not finite has cosine 0 with every other."""
    arrays = arrays_of(MLP)
    strategy = configured(wrap(flower.FedAvg(), MLP, num_malicious=1), arrays)
    huge = {k: np.full_like(v, 9e14) for k, v in arrays.items()}
    huge["1.bias"][:] = np.float32(9e14)
    replies = [reply(n, content(honest_update(arrays, n))) for n in range(4)]
    aggregate, _ = strategy.aggregate_train(1, [reply(9, content(huge)), *replies])
    assert strategy.reports[0].decisions[0].verdict == "dropped"
    assert all(np.isfinite(a.numpy()).all() for a in aggregate.values())


def test_a_reply_without_content_records_does_not_stop_others():
    """An empty content is quarantined as such."""
    arrays = arrays_of(NET)
    strategy = configured(wrap(flower.FedAvg()), arrays)
    replies = [reply(1, RecordDict()), reply(2, content(honest_update(arrays, 2)))]
    aggregate, _ = strategy.aggregate_train(1, replies)
    assert aggregate is not None
    assert strategy.reports[0].decisions[0].verdict == "quarantined"
