"""A fault of the set-up is nobody's: most clients answer with the same one."""

import flwr.serverapp.strategy as message
import numpy as np
import pytest

from flwr_vdcs import Reputation, VirtualConsistencyStrategy
from flwr_vdcs.errors import SetupError
from tests.admission.lies import HONEST, NET, START, metrics, without
from tests.federation import configured, content, honest_update, reply


def wrap(num_malicious, **options):
    """Put the plugin around FedAvg."""
    return VirtualConsistencyStrategy(
        message.FedAvg(),
        model=NET,
        input_shape=(1, 6, 6),
        num_malicious=num_malicious,
        seed=0,
        **options,
    )


def short(arrays):
    """Leave out an array."""
    return {k: v for k, v in arrays.items() if k != "0.bias"}


FAULTS = {
    "other arrays": (content(without("0.bias")), "missing '0.bias'"),
    "another shape": (
        content({**HONEST[0], "0.bias": np.zeros(7, np.float32)}),
        r"0.bias: expected shape \(4,\), found \(7,\)",
    ),
    "no examples": (
        content(HONEST[0], metrics(num_examples=0)),
        "num-examples is 0 for all clients",
    ),
    "examples that are no number": (
        content(HONEST[0], metrics(num_examples=[1])),
        r"found \[1\]",
    ),
}

faults = pytest.mark.parametrize(("body", "reason"), FAULTS.values(), ids=FAULTS)


@faults
@pytest.mark.parametrize("num_malicious", [1, "auto"])
def test_a_run_that_cannot_work_ends_with_one_error(body, reason, num_malicious):
    """In the first round, with the difference and what to do."""
    strategy = configured(wrap(num_malicious), START)
    with pytest.raises(SetupError, match=reason) as error:
        strategy.aggregate_train(1, [reply(node, body) for node in range(6)])
    assert "no client is to blame" in str(error.value)


@pytest.mark.parametrize("num_honest", [2, 3])
def test_it_takes_more_than_half(num_honest):
    """Half of the clients may be liars; then they are quarantined, one by one."""
    strategy = configured(wrap("auto"), START)
    liars = [reply(10 + n, content(without("0.bias"))) for n in range(num_honest)]
    honest = [reply(n, content(HONEST[n])) for n in range(num_honest)]
    strategy.aggregate_train(1, [*liars, *honest])
    [report] = strategy.reports
    assert (report.num_kept, report.num_quarantined) == (num_honest, num_honest)


def test_one_client_that_answers_often_is_one_client():
    """It cannot end the run."""
    strategy = configured(wrap("auto"), START)
    shouts = [reply(9, content(without("0.bias"))) for _ in range(9)]
    strategy.aggregate_train(
        1, [*shouts, *[reply(n, content(HONEST[n])) for n in range(3)]]
    )
    assert strategy.reports[0].num_kept == 3


def test_once_it_has_worked_nobody_can_end_the_run(flower_log):
    """Later the round is skipped, and nobody is blamed."""
    strategy = wrap("auto", reputation=Reputation())
    configured(strategy, START).aggregate_train(
        1, [reply(n, content(HONEST[n])) for n in range(6)]
    )
    bodies = [content(short(honest_update(START, 10 + n))) for n in range(6)]
    for server_round in range(2, 12):
        configured(strategy, START)
        found, _ = strategy.aggregate_train(
            server_round, [reply(n, body) for n, body in enumerate(bodies)]
        )
        assert found is None
    assert not any(report.bans for report in strategy.reports)
    assert flower_log.text.count("no client is to blame") == 1


def test_a_dry_run_lets_them_go_on(flower_log):
    """As the wrapped strategy alone would have got them, with one warning."""
    strategy = configured(wrap(0), START)
    replies = [reply(n, content(short(HONEST[n]))) for n in range(6)]
    found, _ = strategy.aggregate_train(1, replies)
    assert "0.bias" not in found
    assert strategy.reports[0].num_kept == 6
    assert strategy.reports[0].decisions[0].reason.startswith("not judged: expected 9")
    assert flower_log.text.count("no client is to blame") == 1


def test_a_dry_run_goes_on_with_those_that_are_sound():
    """Flower could not aggregate them together with the others."""
    strategy = configured(wrap(0), START)
    bodies = [*[content(without("0.bias"))] * 4, content(HONEST[4]), content(HONEST[5])]
    found, _ = strategy.aggregate_train(1, [reply(n, b) for n, b in enumerate(bodies)])
    assert set(found) == set(START)
    assert strategy.reports[0].num_kept == 2


@pytest.mark.parametrize("num_malicious", [0, 1, "auto"])
def test_names_with_a_prefix_are_understood(num_malicious, flower_log):
    """All clients train a compiled model; what they send goes on as it came."""
    strategy = configured(wrap(num_malicious), START)
    bodies = [
        content({f"_orig_mod.{k}": v for k, v in HONEST[n].items()}) for n in range(6)
    ]
    found, _ = strategy.aggregate_train(1, [reply(n, b) for n, b in enumerate(bodies)])
    assert set(found) == {f"_orig_mod.{k}" for k in START}
    assert "Clients send _orig_mod.0.weight where they were sent 0.weight" in (
        flower_log.text
    )


def test_a_minority_with_a_prefix_gets_the_names_of_most():
    """Otherwise Flower could not aggregate them together."""
    strategy = configured(wrap(0), START)
    bodies = [content(HONEST[n]) for n in range(5)]
    bodies.append(content({f"module.{k}": v for k, v in HONEST[5].items()}))
    found, _ = strategy.aggregate_train(1, [reply(n, b) for n, b in enumerate(bodies)])
    assert set(found) == set(START)
    assert strategy.reports[0].num_kept == 6


def test_who_had_nothing_to_train_on_is_left_out_without_blame():
    """Whether it says so or sends back what it was sent, in every round."""
    strategy = wrap("auto", reputation=Reputation())
    for server_round in range(1, 12):
        configured(strategy, START)
        moved = [honest_update(START, 20 * server_round + n) for n in range(4)]
        replies = [reply(n, content(each)) for n, each in enumerate(moved)]
        replies.append(reply(8, content(moved[0], metrics(num_examples=0))))
        replies.append(reply(9, content(START)))
        strategy.aggregate_train(server_round, replies)
        assert strategy.reports[-1].num_kept == 4
    verdicts = {d.client_id: d.verdict for d in strategy.reports[-1].decisions}
    assert (verdicts["8"], verdicts["9"]) == ("idle", "idle")
    assert strategy.state_dict()["clients"] == {}


def test_where_nobody_trains_all_go_on():
    """They do no harm, and the strategy may want their metrics."""
    strategy = configured(wrap("auto"), START)
    replies = [reply(n, content(START)) for n in range(6)]
    assert strategy.aggregate_train(1, replies)[0] is not None
    assert strategy.reports[0].num_kept == 6


def test_being_idle_takes_no_evidence_back():
    """A liar cannot wash itself clean by sending nothing."""
    strategy = wrap("auto", reputation=Reputation())
    lie = content({**HONEST[0], "0.bias": np.full(4, np.nan, np.float32)})
    rest = content(HONEST[0], metrics(num_examples=0))
    evidence = []
    for server_round, body in enumerate([lie, rest, rest], start=1):
        configured(strategy, START)
        moved = [honest_update(START, 20 * server_round + n) for n in range(4)]
        replies = [reply(n, content(each)) for n, each in enumerate(moved)]
        strategy.aggregate_train(server_round, [*replies, reply(9, body)])
        evidence.append(strategy.state_dict()["clients"]["9"]["evidence"])
    assert evidence[0] == evidence[1] == evidence[2] > 0
