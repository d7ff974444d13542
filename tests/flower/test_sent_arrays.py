"""The global state of a round is what its messages carry, whatever was given."""

import flwr.server.strategy as legacy
import flwr.serverapp.strategy as message
import numpy as np
import pytest
from flwr.app import ArrayRecord, Message, RecordDict
from flwr.common import FitIns, ndarrays_to_parameters, parameters_to_ndarrays

from flwr_vdcs import VirtualConsistencyStrategy
from flwr_vdcs.errors import ArraysMismatchError
from tests.federation import (
    LegacyClient,
    arrays_of,
    configured,
    content,
    fit_result,
    legacy_aggregate,
    legacy_configured,
    record_of,
    reply,
    request,
    seeded,
)
from tests.models import batch_norm_cnn

NET = seeded(batch_norm_cnn)
GIVEN = arrays_of(NET)
NUM_CLIENTS = 6
ATTACKER = 0

settings = pytest.mark.parametrize(
    ("scoring", "num_malicious"), [("paper", 1), ("hardened", 1), ("hardened", "auto")]
)


def moved(arrays, step):
    """Move the parameters, and leave buffers alone."""
    names = dict(NET.named_parameters())
    return {k: v + np.float32(step) if k in names else v for k, v in arrays.items()}


def noisy(arrays, client, scale=0.01):
    """Train the same way with noise, of which the attacker has 1,000 times as much."""
    generator = np.random.default_rng(client)
    scale *= 1000 if client == ATTACKER else 1
    names = dict(NET.named_parameters())
    return {
        k: (v + scale * generator.normal(size=v.shape) + 0.01).astype(v.dtype)
        if k in names
        else v
        for k, v in arrays.items()
    }


def asking(sent):
    """Make a strategy that sends each client what it is to get."""

    class Own(message.FedAvg):
        def configure_train(self, server_round, arrays, config, grid):
            return [request(client, RecordDict(each)) for client, each in sent.items()]

    return Own()


def wrap(inner, **options):
    """Put the plugin around it."""
    settings = {
        "scoring": "paper",
        "num_malicious": 1,
        "seed": 0,
        "num_virtual_samples": 8,
        **options,
    }
    return VirtualConsistencyStrategy(
        inner, model=NET, input_shape=(1, 6, 6), **settings
    )


def verdicts(strategy):
    """Give what became of each client."""
    return [decision.verdict for decision in strategy.reports[-1].decisions]


EXPECTED = ["dropped"] + ["kept"] * (NUM_CLIENTS - 1)


@settings
def test_a_strategy_may_send_something_else(scoring, num_malicious):
    """With Nesterov's look ahead, say, all clients start far from what was given."""
    ahead = moved(GIVEN, 5)
    inner = asking({c: {"arrays": record_of(ahead)} for c in range(NUM_CLIENTS)})
    strategy = wrap(inner, scoring=scoring, num_malicious=num_malicious)
    sent = [noisy(ahead, client) for client in range(NUM_CLIENTS)]
    replies = [reply(c, content(arrays)) for c, arrays in enumerate(sent)]
    configured(strategy, GIVEN).aggregate_train(1, replies)
    assert verdicts(strategy) == EXPECTED


@settings
def test_each_client_is_compared_with_what_it_was_sent(scoring, num_malicious):
    """Clients may get models of their own."""
    starts = {c: moved(GIVEN, c / 50) for c in range(NUM_CLIENTS)}
    inner = asking({c: {"arrays": record_of(each)} for c, each in starts.items()})
    strategy = wrap(inner, scoring=scoring, num_malicious=num_malicious)
    replies = [reply(c, content(noisy(each, c))) for c, each in starts.items()]
    configured(strategy, GIVEN).aggregate_train(1, replies)
    assert verdicts(strategy) == EXPECTED


def test_a_message_without_arrays_carries_what_was_given():
    """A strategy that sends only settings leaves the model to the clients."""
    inner = asking({client: {} for client in range(NUM_CLIENTS)})
    strategy = wrap(inner)
    replies = [reply(c, content(noisy(GIVEN, c))) for c in range(NUM_CLIENTS)]
    configured(strategy, GIVEN).aggregate_train(1, replies)
    assert verdicts(strategy) == EXPECTED


def test_of_two_records_the_one_with_the_models_keys_counts():
    """Control variates, say, travel beside the model."""
    ahead = moved(GIVEN, 5)
    other = ArrayRecord({"drift": record_of(GIVEN)["0.weight"]})
    both = {"control": other, "arrays": record_of(ahead)}
    strategy = wrap(asking(dict.fromkeys(range(NUM_CLIENTS), both)))
    replies = [reply(c, content(noisy(ahead, c))) for c in range(NUM_CLIENTS)]
    configured(strategy, GIVEN).aggregate_train(1, replies)
    assert verdicts(strategy) == EXPECTED


def test_arrays_of_another_model_are_an_error_before_anybody_trains():
    """Whatever was given fits."""
    adapter = {"arrays": ArrayRecord({"adapter": record_of(GIVEN)["0.bias"]})}
    strategy = wrap(asking(dict.fromkeys(range(NUM_CLIENTS), adapter)))
    with pytest.raises(ArraysMismatchError, match="the model has no 'adapter'"):
        configured(strategy, GIVEN)


@settings
def test_the_legacy_api_too(scoring, num_malicious):
    """There it is the fit instructions that carry the model."""

    class Ahead(legacy.FedAvg):
        def configure_fit(self, server_round, parameters, client_manager):
            values = parameters_to_ndarrays(parameters)
            arrays = moved(dict(zip(GIVEN, values, strict=True)), 5)
            ahead = FitIns(ndarrays_to_parameters(list(arrays.values())), {})
            asked = super().configure_fit(server_round, parameters, client_manager)
            return [(proxy, ahead) for proxy, _ in asked]

    ahead = moved(GIVEN, 5)
    strategy = wrap(Ahead(), scoring=scoring, num_malicious=num_malicious)
    legacy_configured(strategy, GIVEN)
    results = [
        (LegacyClient(c, noisy), fit_result(list(noisy(ahead, c).values())))
        for c in range(NUM_CLIENTS)
    ]
    assert legacy_aggregate(strategy, results) is not None
    assert verdicts(strategy) == EXPECTED


def test_what_is_sent_goes_out_as_the_wrapped_strategy_made_it():
    """Messages are looked at, not changed."""
    sent = {c: {"arrays": record_of(moved(GIVEN, 1))} for c in range(3)}
    messages = list(wrap(asking(sent)).configure_train(1, record_of(GIVEN), None, None))
    assert all(isinstance(each, Message) for each in messages)
    assert [each.content["arrays"] for each in messages] == [
        each["arrays"] for each in sent.values()
    ]
