"""Updates that were sent before: what is found, and what is not."""

import numpy as np
import pytest
from flwr.serverapp.strategy import FedAvg

from tests.benchmarks.faults.plugin import START, protected
from tests.federation import (
    InProcessGrid,
    configured,
    content,
    honest_update,
    record_of,
    reply,
)

COUNTER = "1.num_batches_tracked"
REPLAYER = 0
NUM_CLIENTS = 6
REASON = "it sent the same arrays in round"


def loaded(record):
    """Read the global state into the model's own dtypes, as a client does."""
    return {k: a.numpy().astype(START[k].dtype) for k, a in record.items()}


def verdicts(replayed, num_rounds=4, num_malicious=1):
    """Give the replayer's decisions, whose update of each round a function makes."""
    seen = []

    def client(number):
        def answer(body, message_type):
            if message_type != "train":
                return content()
            arrays = loaded(body["arrays"])
            update = honest_update(arrays, number)
            if number == REPLAYER:
                seen.append(update)
                update = replayed(seen)
            return content(update)

        return answer

    strategy = protected(FedAvg(), num_malicious=num_malicious, seed=1)
    strategy.start(
        InProcessGrid({node: client(node) for node in range(NUM_CLIENTS)}),
        record_of(START),
        num_rounds=num_rounds,
    )
    return [report.decisions[REPLAYER] for report in strategy.reports]


def is_replay(decision):
    """Tell whether it was quarantined for having been sent before."""
    return decision.verdict == "quarantined" and REASON in decision.reason


def test_the_first_update_again_and_again_is_found():
    """From the second round on, as its global state is another one."""
    first, *later = verdicts(lambda seen: seen[0])
    assert not is_replay(first)
    assert all(map(is_replay, later))


def test_last_rounds_update_is_found_once():
    """A client that is one round behind sends its first update twice."""
    decisions = verdicts(lambda seen: seen[max(0, len(seen) - 2)])
    assert list(map(is_replay, decisions)) == [False, True, False, False]


def test_honest_updates_are_no_replays():
    """Each is trained from a new model."""
    assert not any(map(is_replay, verdicts(lambda seen: seen[-1])))


def test_a_dry_run_finds_nothing():
    """With M = 0 the result is that of the wrapped strategy alone."""
    decisions = verdicts(lambda seen: seen[0], num_malicious=0)
    assert {decision.verdict for decision in decisions} == {"kept"}


def with_noise(seen):
    """Change the last digit of one number."""
    update = {key: values.copy() for key, values in seen[0].items()}
    bias = update["0.bias"]
    bias[0] = np.nextafter(bias[0], np.inf) + len(seen) * 1e-6
    return update


def by_turns(seen):
    """Send the first two updates by turns."""
    return seen[(len(seen) - 1) % 2] if len(seen) > 1 else seen[0]


@pytest.mark.parametrize("disguised", [with_noise, by_turns])
def test_disguised_replays_are_not_found(disguised):
    """Only exact repetitions of the last update are: such a client must be outscored.

    This is a limit, written down in SECURITY.md; the scores still judge the update.
    """
    assert not any(map(is_replay, verdicts(disguised)))


def test_a_standstill_in_the_clients_dtype_makes_no_replays():
    """A server that optimises in float64 moves by less than float32 can tell.

    Clients that train reproducibly then start from the same numbers and send the same.
    """
    strategy = protected(FedAvg(), num_malicious=1, seed=1)
    for server_round in (1, 2):
        step = 1e-12 * server_round
        wide = {key: values.astype(np.float64) + step for key, values in START.items()}
        configured(strategy, wide)
        replies = [reply(n, content(honest_update(START, n))) for n in range(1, 6)]
        strategy.aggregate_train(server_round, replies)
    assert not any(map(is_replay, strategy.reports[-1].decisions))


def replayed_along(change):
    """Let a client send the same for twenty global models, each changed a little."""
    strategy = protected(FedAvg(), num_malicious=1, seed=1)
    again = honest_update(START, REPLAYER)
    for server_round in range(1, 21):
        start = {
            key: np.asarray(change(key, values, server_round), values.dtype)
            for key, values in START.items()
        }
        configured(strategy, start)
        body = {**again, COUNTER: start[COUNTER] + 1}
        honest = [content(honest_update(start, n)) for n in range(1, 6)]
        replies = [reply(n, b) for n, b in enumerate([content(body), *honest])]
        strategy.aggregate_train(server_round, replies)
    return [report.decisions[REPLAYER] for report in strategy.reports]


def test_a_slow_model_hides_no_replay():
    """It moves by less than a ten-thousandth a round, and by more in five."""
    decisions = replayed_along(lambda _, values, n: values * (1 + 3e-5 * n))
    assert not is_replay(decisions[1])
    assert all(map(is_replay, decisions[5:]))


def test_a_large_counter_hides_no_replay():
    """What the parameters do counts, not what batch norm's counters hold."""

    def change(key, values, server_round):
        return values + 10**13 if key == COUNTER else values * (1 + 0.01 * server_round)

    decisions = replayed_along(change)
    # the counter is the same in all rounds, so that the whole update is
    assert all(map(is_replay, decisions[1:]))


def test_a_replay_in_another_dtype_is_found():
    """The numbers are the same: one array is sent as float64 the second time."""
    strategy = protected(FedAvg(), num_malicious=1, seed=1)
    again = honest_update(START, REPLAYER)
    for server_round in (1, 2):
        start = {k: np.asarray(v + server_round, v.dtype) for k, v in START.items()}
        wide = {**start, COUNTER: start[COUNTER].astype(np.float64)}
        configured(strategy, wide)
        if server_round > 1:
            again = {**again, COUNTER: again[COUNTER].astype(np.float64)}
        honest = [content(honest_update(start, n)) for n in range(1, 6)]
        replies = [reply(n, body) for n, body in enumerate([content(again), *honest])]
        strategy.aggregate_train(server_round, replies)
    assert is_replay(strategy.reports[-1].decisions[REPLAYER])
