"""The mod that poisons replies, malformed replies, and whole rounds of them."""

import numpy as np
import pytest
import torch
from bloodmnist import client_app, training
from bloodmnist.attacks import ATTACKS, REPLY_ATTACKS, mod
from bloodmnist.model import build_model
from bloodmnist.run_config import with_defaults
from flwr.app import ConfigRecord, Context, Error, Message, RecordDict
from flwr.serverapp.exception import InconsistentMessageReplies
from flwr.serverapp.strategy import FedAvg

from flwr_vdcs import VirtualConsistencyStrategy
from tests.federation import (
    InProcessGrid,
    arrays_of,
    configured,
    content,
    honest_client,
    honest_update,
    record_of,
    reply,
    request,
    seeded,
)
from tests.models import batch_norm_cnn

NUM_CLIENTS, NUM_POISONED = 10, 3
NET = seeded(batch_norm_cnn)
PARAMETERS = tuple(name for name, _ in NET.named_parameters())
TOLERATED = {"malformed-permuted", "malformed-dtype"}
REFUSED = sorted(REPLY_ATTACKS.keys() - TOLERATED)


def run_config(attack="none", labels="clean", fraction=0.3, **others):
    """Give the part of a run config that attacks read."""
    return {
        "attack": attack,
        "labels": labels,
        "fraction-malicious": fraction,
        "model": "resnet18",
        "seed": 0,
        **others,
    }


def context_of(partition_id, config):
    """Make the context of one of ten clients."""
    node_config = {"partition-id": partition_id, "num-partitions": NUM_CLIENTS}
    return Context(1, partition_id + 1, node_config, RecordDict(), config)


class FakeApp:
    """Train as the in-process federation's honest clients do, and count how often."""

    def __init__(self):
        self.num_repeated = 0

    def __call__(self, msg, ctxt):
        """Answer as the ClientApp behind the mod."""
        partition_id = ctxt.node_config["partition-id"]
        answer = honest_client(partition_id)(msg.content, msg.metadata.message_type)
        return Message(answer, reply_to=msg)

    def train_partition(self, _config, received, _round, partition_id, *_):
        """Repeat the training of one client, as a colluder does."""
        self.num_repeated += 1
        arrays = {name: value.numpy() for name, value in received.items()}
        trained = honest_update(arrays, partition_id)
        return {name: torch.tensor(value) for name, value in trained.items()}, {}


@pytest.fixture
def app(monkeypatch):
    """Put the fake app behind the mod, with a small model."""
    fake = FakeApp()
    monkeypatch.setattr(training, "train_partition", fake.train_partition)
    monkeypatch.setattr(mod, "list_parameters", lambda _model: PARAMETERS)
    mod.train_honest.cache_clear()
    yield fake
    mod.train_honest.cache_clear()


def ask(app, partition_id, config, server_round=1, arrays=None):
    """Ask one client to train, and give its poisoned reply."""
    body = RecordDict({"arrays": record_of(arrays or arrays_of(NET))})
    body["config"] = ConfigRecord({"server-round": server_round, "used-round": 0})
    message = request(partition_id + 1, body)
    return mod.poison(message, context_of(partition_id, config), app)


def sent_arrays(reply):
    """Give the arrays of a reply."""
    return {name: array.numpy() for name, array in reply.content["arrays"].items()}


def same(left, right):
    """Tell whether two sets of arrays are equal, order and dtypes included."""
    return list(left) == list(right) and all(
        left[name].dtype == right[name].dtype
        and np.array_equal(left[name], right[name])
        for name in left
    )


# --- the mod --------------------------------------------------------------------------


@pytest.mark.parametrize("partition_id", [0, 2, 3, 9])
def test_only_the_first_partitions_attack(app, partition_id):
    """With three of ten poisoned, those are partitions 0 to 2; others are honest."""
    honest = honest_update(arrays_of(NET), partition_id)
    sent = sent_arrays(ask(app, partition_id, run_config("boost-100")))
    assert same(sent, honest) == (partition_id > 2)


@pytest.mark.parametrize("name", ["none", "boost-3", "alie", "malformed-nan"])
def test_without_poisoned_clients_every_reply_is_honest(app, name):
    """The knob at zero: a fraction of 0 sends bit for bit what was trained."""
    for partition_id in range(NUM_CLIENTS):
        reply = ask(app, partition_id, run_config(name, fraction=0.0))
        assert same(sent_arrays(reply), honest_update(arrays_of(NET), partition_id))


def test_flipped_labels_alone_leave_the_reply_alone(app):
    """Attack "none" on flipped labels poisons the data, not the message."""
    reply = ask(app, 0, run_config(labels="flipped"))
    assert same(sent_arrays(reply), honest_update(arrays_of(NET), 0))


def test_a_boosted_reply_keeps_metrics_and_buffers(app):
    """Parameters are boosted threefold; weight, loss and running mean are honest."""
    reply = ask(app, 1, run_config("boost-3"))
    received, honest = arrays_of(NET), honest_update(arrays_of(NET), 1)
    for name, value in sent_arrays(reply).items():
        step = 3 if name in PARAMETERS else 1
        expected = received[name] + step * (honest[name] - received[name])
        np.testing.assert_allclose(value, expected, atol=1e-6)
    assert dict(reply.content["metrics"]) == {"num-examples": 11, "train_loss": 1.1}


def test_an_error_goes_through(app):
    """A client that failed to train sends its error, not an attack."""

    def failing(msg, _ctxt):
        return Message(Error(1, "no data"), reply_to=msg)

    assert ask(failing, 0, run_config("alie")).has_error()


def test_unknown_attack_is_not_ignored(app):
    """A typing error in the run config reaches the client, too."""
    with pytest.raises(ValueError, match="unknown attack 'foo'"):
        ask(app, 0, run_config("foo"))


@pytest.mark.parametrize(
    ("name", "together"), [("ump-paper", False), ("ump-sybil", True)]
)
def test_sybils_send_the_same_parameters_and_new_ones_every_round(app, name, together):
    """Colluders share a round's noise if they are sybils; no noise is used twice."""
    config = run_config(name)
    one, two, later = (
        sent_arrays(ask(app, partition_id, config, server_round))["0.weight"]
        for partition_id, server_round in ((0, 1), (1, 1), (0, 2))
    )
    assert np.array_equal(one, two) == together
    assert not np.array_equal(one, later)
    assert np.array_equal(one, sent_arrays(ask(app, 0, config, 1))["0.weight"])


# --- what colluders know --------------------------------------------------------------


def test_mimics_all_send_the_first_honest_client(app):
    """Three attackers repeat partition 3's training and send its very arrays."""
    first_honest = sent_arrays(ask(app, 3, run_config("mimic")))
    for partition_id in range(NUM_POISONED):
        sent = sent_arrays(ask(app, partition_id, run_config("mimic")))
        assert same(sent, first_honest)


def test_honest_training_is_repeated_once_a_round_and_process(app):
    """Three colluders share seven repeated trainings; a new round takes seven more."""
    for partition_id in range(NUM_POISONED):
        ask(app, partition_id, run_config("alie"), server_round=1)
    assert app.num_repeated == 7
    ask(app, 0, run_config("alie"), server_round=2)
    assert app.num_repeated == 14
    assert mod.train_honest.cache_info().currsize == 1


def test_honest_training_is_repeated_for_another_model_or_run(app):
    """What was known of one global model, or of one run, is not used for another."""
    ask(app, 0, run_config("alie"))
    moved = {name: value + 1 for name, value in arrays_of(NET).items()}
    ask(app, 0, run_config("alie"), arrays=moved)
    assert app.num_repeated == 14
    ask(app, 0, run_config("alie", alpha=0.1), arrays=moved)
    assert app.num_repeated == 21


@pytest.mark.parametrize(
    "name", ["tmp-paper", "ump-sybil", "free-rider", "buffer-only"]
)
def test_attacks_that_need_no_honest_update_repeat_no_training(app, name):
    """Knowing what others send is lazy, so it costs only those who use it."""
    ask(app, 0, run_config(name))
    assert app.num_repeated == 0


def test_colluders_know_exactly_what_honest_clients_send():
    """A mimic in the real app, training a ResNet-18, sends a copy bit for bit.

    It trained before the honest client did, on the other's images and in their order.
    """
    config = with_defaults(
        {
            "attack": "mimic",
            "fraction-malicious": 0.1,
            "data-path": "digits",
            "images-min": 30,
            "images-max": 40,
            "batch-size": 16,
            "device": "cpu",
        }
    )
    arrays = arrays_of(build_model(seed=0, num_classes=10))
    poisoned, honest = (ask_real_app(part, config, arrays) for part in (0, 1))
    mod.train_honest.cache_clear()
    assert same(sent_arrays(poisoned), sent_arrays(honest))


def ask_real_app(partition_id, config, arrays):
    """Ask one client of the app to train in round 1."""
    body = RecordDict({"arrays": record_of(arrays)})
    body["config"] = ConfigRecord({"server-round": 1, "used-round": 0})
    message = request(partition_id + 1, body)
    return client_app.app(message, context_of(partition_id, config))


def test_parameters_are_those_of_the_model():
    """ResNet-18 has 62 parameters, among them no running statistics."""
    names = mod.list_parameters("resnet18")
    assert (len(names), names[0], names[-1]) == (62, "conv1.weight", "fc.bias")
    assert not any("running" in name or "tracked" in name for name in names)


# --- malformed replies and lies about weight ------------------------------------------


@pytest.fixture
def honest_content():
    """Give the content of an honest reply with three arrays."""
    arrays = {
        "a": np.array([[1.0, 2.0], [3.0, 4.0]], np.float32),
        "b": np.array([5.0], np.float32),
        "n": np.array(7, np.int64),
    }
    return content(arrays, {"num-examples": 10, "loss": 0.5})


def spoil(name, honest_content):
    """Spoil an honest reply and give its arrays as nested lists."""
    sent = REPLY_ATTACKS[name](honest_content)
    return {key: array.numpy().tolist() for key, array in sent["arrays"].items()}


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("malformed-inf", {"a": [[np.inf, 2.0], [3.0, 4.0]]}),
        ("malformed-shape", {"a": [[1.0, 2.0], [3.0, 4.0], [3.0, 4.0]]}),
        ("malformed-broadcast", {"a": [1.0]}),
        ("malformed-extra-key", {"a.extra": [[1.0, 2.0], [3.0, 4.0]]}),
        ("malformed-dtype", {}),
        ("malformed-permuted", {}),
        ("weight-lie-0", {}),
    ],
)
def test_malformed_reply_differs_where_it_says(name, changed, honest_content):
    """One value, shape or key is other than trained; everything else is the same."""
    honest = {"a": [[1.0, 2.0], [3.0, 4.0]], "b": [5.0], "n": 7}
    assert spoil(name, honest_content) == honest | changed


def test_one_value_is_not_a_number(honest_content):
    """The first value of the first array, and no other."""
    sent = spoil("malformed-nan", honest_content)
    assert np.isnan(sent["a"]).tolist() == [[True, False], [False, False]]
    assert (sent["b"], sent["n"]) == ([5.0], 7)


def test_a_missing_key_is_the_last_and_permuted_keys_are_reversed(honest_content):
    """Order and presence of keys, with their values untouched."""
    assert list(spoil("malformed-missing-key", honest_content)) == ["a", "b"]
    assert list(spoil("malformed-permuted", honest_content)) == ["n", "b", "a"]


def test_other_dtype_is_double_precision(honest_content):
    """Floating-point arrays are doubles, integers are left alone."""
    sent = REPLY_ATTACKS["malformed-dtype"](honest_content)["arrays"]
    dtypes = [str(array.numpy().dtype) for array in sent.values()]
    assert dtypes == ["float64", "float64", "int64"]


def test_records_are_missing_or_doubled(honest_content):
    """There is no ArrayRecord, or there are two of the same arrays."""
    without = REPLY_ATTACKS["malformed-no-arrays"](honest_content)
    assert list(without) == ["metrics"]
    twice = REPLY_ATTACKS["malformed-two-records"](honest_content)
    assert len(twice.array_records) == 2
    assert len(twice.metric_records) == 1


@pytest.mark.parametrize(
    ("name", "claimed"),
    [("weight-lie-1e12", 1e12), ("weight-lie-0", 0), ("weight-lie-negative", -79)],
)
def test_weight_lie_claims_another_number_of_examples(name, claimed, honest_content):
    """The claim is replaced; the loss beside it is honest."""
    metrics = REPLY_ATTACKS[name](honest_content)["metrics"]
    assert dict(metrics) == {"num-examples": claimed, "loss": 0.5}


def test_weight_lie_claims_no_number_at_all(honest_content):
    """NaN examples."""
    metrics = REPLY_ATTACKS["weight-lie-nan"](honest_content)["metrics"]
    assert np.isnan(metrics["num-examples"])


@pytest.mark.parametrize("name", REPLY_ATTACKS)
def test_spoiling_a_reply_leaves_the_honest_one_alone(name, honest_content):
    """The honest content is the same before and after."""
    before = {key: a.data for key, a in honest_content["arrays"].items()}
    REPLY_ATTACKS[name](honest_content)
    assert {key: a.data for key, a in honest_content["arrays"].items()} == before
    assert honest_content["metrics"]["num-examples"] == 10
    assert list(honest_content) == ["arrays", "metrics"]


# --- whole rounds ---------------------------------------------------------------------


def run(app, strategy, attack, num_rounds=2):
    """Run Flower's own loop over ten clients, three of them poisoned."""

    def client(partition_id):
        def answer(body, message_type):
            message = request(partition_id + 1, body, message_type)
            ctxt = context_of(partition_id, run_config(attack))
            return mod.poison(message, ctxt, app).content

        return answer

    clients = {node + 1: client(node) for node in range(NUM_CLIENTS)}
    start = record_of(arrays_of(NET))
    return strategy.start(InProcessGrid(clients), start, num_rounds).arrays


def is_finite(arrays):
    """Tell whether there is neither NaN nor infinity in a record."""
    return all(np.isfinite(array.numpy()).all() for array in arrays.values())


def protected(num_malicious=NUM_POISONED):
    """Put the plugin around federated averaging."""
    return VirtualConsistencyStrategy(
        FedAvg(fraction_evaluate=0.0),
        model=NET,
        input_shape=(1, 6, 6),
        num_malicious=num_malicious,
        scoring="paper",
        num_virtual_samples=8,
        seed=1,
        device="cpu",
    )


@pytest.mark.parametrize("name", ATTACKS)
def test_no_attack_stops_a_protected_federation(app, name):
    """Two rounds with three of ten attacking end with a whole, finite global model."""
    strategy = protected()
    arrays = run(app, strategy, name)
    assert list(arrays) == list(arrays_of(NET))
    assert is_finite(arrays)
    assert [report.server_round for report in strategy.reports] == [1, 2]
    assert all(len(report.decisions) == NUM_CLIENTS for report in strategy.reports)
    assert not any(report.skipped for report in strategy.reports)


@pytest.mark.parametrize("name", REFUSED)
def test_spoilt_replies_are_quarantined(app, name):
    """The three poisoned replies are, with reasons; no honest one is.

    Who claims no examples has nothing to say, and is left out as well.
    """
    strategy = protected(num_malicious=0)
    run(app, strategy, name)
    refused = "idle" if name == "weight-lie-0" else "quarantined"
    for report in strategy.reports:
        verdicts = [decision.verdict for decision in report.decisions]
        assert verdicts == [refused] * 3 + ["kept"] * 7


@pytest.mark.parametrize("name", sorted(TOLERATED))
def test_mere_untidiness_is_put_in_order(app, name):
    """With permuted keys or doubles the model is the honest federation's."""
    honest, untidy = (
        run(app, protected(num_malicious=0), attack) for attack in ("none", name)
    )
    assert {k: a.data for k, a in untidy.items()} == {
        k: a.data for k, a in honest.items()
    }


STOPS_PLAIN_AVERAGING = {
    "malformed-shape": (ValueError, "could not be broadcast together"),
    "malformed-broadcast": (ValueError, "non-broadcastable output"),
    "malformed-extra-key": (InconsistentMessageReplies, "the same keys"),
    "malformed-missing-key": (InconsistentMessageReplies, "the same keys"),
    "malformed-no-arrays": (InconsistentMessageReplies, "exactly one ArrayRecord"),
    "malformed-two-records": (InconsistentMessageReplies, "exactly one ArrayRecord"),
}


@pytest.mark.parametrize("name", STOPS_PLAIN_AVERAGING)
def test_malformed_replies_stop_a_federation_without_the_plugin(app, name):
    """Federated averaging raises, and nothing catches it."""
    error, message = STOPS_PLAIN_AVERAGING[name]
    with pytest.raises(error, match=message):
        run(app, FedAvg(fraction_evaluate=0.0), name)


def test_single_value_is_broadcast_where_an_honest_reply_comes_first():
    """The average of 0 and the one number 4 is 2 everywhere; nothing is raised."""
    arrays = {"w": np.zeros((2, 2), np.float32)}
    attacker = content({"w": np.full((2, 2), 4, np.float32)})
    spoilt = REPLY_ATTACKS["malformed-broadcast"](attacker)
    replies = [reply(1, content(arrays)), reply(2, spoilt)]
    averaged, _ = configured(FedAvg(), arrays).aggregate_train(1, replies)
    assert averaged["w"].numpy().tolist() == [[2.0, 2.0], [2.0, 2.0]]


@pytest.mark.parametrize("name", ["malformed-nan", "malformed-inf", "weight-lie-nan"])
def test_one_bad_number_ruins_a_federation_without_the_plugin(app, name):
    """The average is not finite any more, and nothing says so."""
    assert not is_finite(run(app, FedAvg(fraction_evaluate=0.0), name))


def test_claiming_enough_examples_makes_the_model_the_attackers(app):
    """With 1e12 examples each, the three alone decide what the average is."""
    arrays = run(app, FedAvg(fraction_evaluate=0.0), "weight-lie-1e12", num_rounds=1)
    poisoned = [honest_update(arrays_of(NET), partition) for partition in range(3)]
    for name in PARAMETERS:
        expected = np.mean([update[name] for update in poisoned], axis=0)
        np.testing.assert_allclose(arrays[name].numpy(), expected, atol=1e-6)
