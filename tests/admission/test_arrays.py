"""What may look different and is admitted all the same, and values that may not."""

import flwr.serverapp.strategy as message
import numpy as np
import pytest
from flwr.app import (
    Error,
)

from flwr_vdcs import VirtualConsistencyStrategy
from tests.admission.lies import (
    HONEST,
    NET,
    START,
    aggregate,
    honest_replies,
    with_array,
    wrapped,
)
from tests.federation import (
    Arrays,
    arrays_of,
    configured,
    content,
    honest_update,
    reply,
    seeded,
)
from tests.models import Masked, Tied, token_ids
from tests.strategies import MESSAGE


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
        Recording(), model=NET, input_shape=(1, 6, 6), num_malicious=0, scoring="paper"
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
        MESSAGE[name](),
        model=NET,
        input_shape=(1, 6, 6),
        num_malicious=0,
        scoring="paper",
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
        Recording(), model=NET, input_shape=(1, 6, 6), num_malicious=0, scoring="paper"
    )
    wide = {k: v.astype(np.float64) for k, v in START.items()}
    liar_reply = reply(9, content(as_float64(HONEST[0])))
    configured(strategy, wide).aggregate_train(1, [liar_reply, *honest_replies()])
    dtypes = {a.dtype for r in seen for a in r.content["arrays"].values()}
    assert dtypes == {"float64"}


def test_two_values_for_one_parameter():
    """Only one of them would be looked at, and clients might load the other."""
    start = arrays_of(seeded(Tied))
    strategy = VirtualConsistencyStrategy(
        message.FedAvg(),
        model=Tied(),
        input_shape=(7,),
        virtual_samples=token_ids,
        num_malicious=1,
        scoring="paper",
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
    assert (report.num_quarantined, report.num_dropped) == (1, 0)
    assert report.decisions[5].reason.startswith("mask: expected finite values")
    assert np.array_equal(found["mask"].numpy(), start["mask"])
    assert np.isfinite(found["body.weight"].numpy()).all()


def test_equal_weights_forward_errors_as_they_are():
    """A client that crashed has no weight to be made equal."""
    strategy = VirtualConsistencyStrategy(
        message.FedAvg(),
        model=NET,
        input_shape=(1, 6, 6),
        num_malicious=0,
        scoring="paper",
        equal_weights=True,
    )
    replies = [reply(9, Error(0, "crashed")), *honest_replies()]
    assert aggregate(strategy, replies) is not None
