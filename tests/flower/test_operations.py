"""What operators rely on: quorums, rests, finite models, one run at a time."""

import json
import threading

import flwr.server.strategy as legacy
import flwr.serverapp.strategy as flower
import numpy as np
import pytest
import torch
from flwr.app import Error, Message, RecordDict
from flwr.common import ndarrays_to_parameters, parameters_to_ndarrays
from flwr.server.client_manager import SimpleClientManager

from flwr_vdcs import PaperScoring, Reputation, VirtualConsistencyStrategy
from flwr_vdcs.errors import InvalidArgumentError, SecondRunError
from tests.federation import (
    InProcessGrid,
    LegacyClient,
    arrays_of,
    configured,
    content,
    fit_result,
    honest_client,
    honest_update,
    legacy_configured,
    record_of,
    reply,
    request,
    seeded,
)
from tests.models import mlp

NET = seeded(mlp)
START = arrays_of(NET)


def wrap(inner=None, model=NET, **options):
    """Put the plugin around a strategy."""
    settings = {"model": model, "input_shape": (3, 4), **options}
    return VirtualConsistencyStrategy(inner or flower.FedAvg(), **settings)


def broken_client(client):
    """Answer with an error, as a client whose disk is full does."""
    return lambda body, message_type: Error(code=0, reason="no space left")


def run(strategy, clients, num_rounds=3):
    """Run Flower's own loop."""
    grid = InProcessGrid(clients)
    return strategy.start(grid, record_of(START), num_rounds)


def honest(*nodes):
    """Let these nodes answer honestly."""
    return {node: honest_client(node) for node in nodes}


# Quorums


@pytest.mark.parametrize(
    ("quorum", "is_kept"), [(None, True), (0.5, True), (0.6, False)]
)
def test_a_round_below_the_quorum_keeps_the_model(quorum, is_kept, flower_log):
    """Four of eight answer: half is enough, six tenths are not."""
    clients = honest(1, 2, 3, 4) | {n: broken_client(n) for n in (5, 6, 7, 8)}
    strategy = wrap(quorum=quorum)
    run(strategy, clients, 1)
    [report] = strategy.reports
    assert report.skipped is not is_kept
    if not is_kept:
        [reason] = {decision.reason for decision in report.decisions}
        assert reason == "round skipped: 4 of 8 clients answered, and the quorum is 0.6"
        assert "4 of 8 clients answered, and the quorum is 0.6. Wait" in flower_log.text


def test_a_quorum_counts_those_that_are_asked():
    """Banned ones are not; who sends rubbish has answered, and is banned for it."""

    def rubbish(body, message_type):
        return content({name: v * np.nan for name, v in START.items()})

    strategy = wrap(quorum=0.9, reputation=Reputation())
    run(strategy, honest(*range(1, 8)) | {9: rubbish}, 8)
    assert not any(report.skipped for report in strategy.reports)
    assert any("9" in report.bans for report in strategy.reports)


@pytest.mark.parametrize("quorum", [0, -0.1, 1.01, "half", True, float("nan")])
def test_another_quorum_is_an_error(quorum):
    """With what is allowed."""
    with pytest.raises(InvalidArgumentError, match=r"quorum.*\(0, 1\]"):
        wrap(quorum=quorum)


# Rests


class Asked(InProcessGrid):
    """Note which nodes are asked in each round."""

    def __init__(self, clients):
        super().__init__(clients)
        self.asked = []

    def send_and_receive(self, messages, **options):
        """Answer, and note whom to train."""
        messages = list(messages)
        if messages and messages[0].metadata.message_type == "train":
            self.asked.append({m.metadata.dst_node_id for m in messages})
        return super().send_and_receive(messages, **options)


def test_a_broken_client_does_not_stop_a_strategy_that_bears_no_errors():
    """As with differential privacy: it rests, and rounds without it are aggregated."""
    private = flower.DifferentialPrivacyServerSideFixedClipping(
        flower.FedAvg(),
        noise_multiplier=0.0,
        clipping_norm=100.0,
        num_sampled_clients=6,
    )
    strategy = wrap(private, reputation=Reputation())
    grid = Asked(honest(*range(1, 7)) | {7: broken_client(7)})
    strategy.start(grid, record_of(START), 12)
    asked = [7 in nodes for nodes in grid.asked]
    assert asked == [True] * 3 + [False, True] + [False] * 2 + [True] + [False] * 4
    resting = strategy.reports[3].decisions[-1]
    assert (resting.client_id, resting.verdict) == ("7", "idle")
    assert "error 3 times in a row" in resting.reason
    assert not any(report.bans for report in strategy.reports)


# Models that stay finite


class Infinite(flower.FedAvg):
    """A strategy whose optimiser overflows."""

    def aggregate_train(self, server_round, replies):
        """Give a model that is not finite in the second round."""
        arrays, metrics = super().aggregate_train(server_round, replies)
        if server_round == 2:
            broken = {k: a.numpy() * np.inf for k, a in arrays.items()}
            return record_of(broken), metrics
        return arrays, metrics


def test_an_aggregate_that_is_not_finite_is_not_taken(tmp_path, flower_log):
    """The model is kept, and log, report and audit log say so."""
    log = tmp_path / "audit.jsonl"
    told = []
    strategy = wrap(Infinite(), audit_log=log, on_round=told.append)
    result = run(strategy, honest(*range(1, 6)))
    assert all(np.isfinite(a.numpy()).all() for a in result.arrays.values())
    assert "not finite" in strategy.reports[1].note
    assert [(r.server_round, r.phase) for r in told] == [
        (1, "train"),
        (2, "train"),
        (2, "aggregate"),
        (3, "train"),
    ]
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["phase"] for line in lines] == [r.phase for r in told]
    assert lines[2]["decisions"] == []
    assert "not finite" in lines[2]["note"]
    assert result.train_metrics_clientapp[2]["vdcs-not-finite"] == 1
    assert "2 of 3 rounds aggregated" in flower_log.records[-1].getMessage()


def test_a_dry_run_gives_even_that(flower_log):
    """Nothing at all is changed by `report_only`."""
    strategy = wrap(Infinite(), report_only=True)
    result = run(strategy, honest(*range(1, 6)), 2)
    assert not all(np.isfinite(a.numpy()).all() for a in result.arrays.values())


def test_a_mask_of_infinities_stays_one():
    """What was infinite when it was sent may be so when it comes back."""

    class Masked(flower.FedAvg):
        """Give the model that was sent."""

        def aggregate_train(self, server_round, replies):
            _, metrics = super().aggregate_train(server_round, replies)
            return record_of(masked), metrics

    model = seeded(mlp)
    model.register_buffer("mask", torch.tensor([0.0, -np.inf]))
    masked = arrays_of(model)
    strategy = wrap(Masked(), model)
    configured(strategy, masked, 4)
    replies = [
        reply(n, content(honest_update(masked, n) | {"mask": masked["mask"]}))
        for n in range(1, 5)
    ]
    arrays, _ = strategy.aggregate_train(1, replies)
    assert arrays is not None


@pytest.mark.parametrize("scoring", ["paper", "hardened"])
def test_one_client_does_not_overflow_float16(scoring):
    """What cannot be squared in the model's dtype is quarantined."""
    half = seeded(mlp).half()
    start = arrays_of(half)
    strategy = wrap(
        flower.QFedAvg(client_learning_rate=0.1, train_loss_key="train_loss"),
        half,
        scoring=scoring,
        num_malicious=0,
    )
    configured(strategy, start, 8)
    sent = [honest_update(start, node, 0.01) for node in range(7)]
    sent.append({name: np.full_like(v, 60_000) for name, v in start.items()})
    arrays, _ = strategy.aggregate_train(
        1, [reply(node, content(each)) for node, each in enumerate(sent)]
    )
    assert all(np.isfinite(a.numpy()).all() for a in arrays.values())
    verdicts = [decision.verdict for decision in strategy.reports[0].decisions]
    assert verdicts == ["kept"] * 7 + ["quarantined"]
    assert "to be squared in float16" in strategy.reports[0].decisions[-1].reason


def test_large_float16_updates_of_all_are_nobodys_fault():
    """Where the median update is as long, nobody is refused for it."""
    half = seeded(mlp).half()
    start = arrays_of(half)
    strategy = wrap(model=half, num_malicious=0)
    configured(strategy, start, 5)
    sent = [honest_update(start, node, 40.0) for node in range(5)]
    strategy.aggregate_train(
        1, [reply(node, content(each)) for node, each in enumerate(sent)]
    )
    assert {d.verdict for d in strategy.reports[0].decisions} == {"kept"}


# Odd replies


def test_a_reply_without_content_and_error_is_quarantined():
    """It raises nothing, and the others are aggregated."""
    strategy = configured(wrap(), START, 5)
    empty = Message(RecordDict(), reply_to=request(9, RecordDict()))
    empty.__dict__["_content"] = None
    replies = [reply(n, content(honest_update(START, n))) for n in range(1, 5)]
    arrays, _ = strategy.aggregate_train(1, [*replies, empty])
    assert arrays is not None
    assert strategy.reports[0].decisions[-1].verdict == "quarantined"


class NearTheLimit:
    """Scores as large as floating point goes."""

    name, threshold = "near the limit", 0.0

    def features(self, context, global_state, update):
        """Look at nothing."""
        return next(iter(update.values())).flatten()[:1]

    def scores(self, features):
        """Give the largest and the least number in turn."""
        scores = torch.full((len(features),), 1.7e308, dtype=torch.float64)
        scores[-1] = -1.7e308
        return scores


def test_scores_near_the_limit_are_written_down(tmp_path):
    """Their difference is beyond it, so there is no margin."""
    log = tmp_path / "audit.jsonl"
    strategy = wrap(scoring=NearTheLimit(), audit_log=log)
    run(strategy, honest(1, 2, 3, 4), 1)
    [line] = [json.loads(line) for line in log.read_text().splitlines()]
    assert line["margin"] is None
    assert {each["verdict"] for each in line["decisions"]} == {"kept", "dropped"}


# One run at a time


def test_a_second_run_in_another_thread_is_refused():
    """The first goes on, and afterwards the object may be started again."""
    strategy, problems = wrap(), []

    def interrupting(body, message_type):
        if message_type == "train" and not problems:
            thread = threading.Thread(target=start_again)
            thread.start()
            thread.join()
        return honest_client(1)(body, message_type)

    def start_again():
        try:
            run(strategy, honest(1, 2, 3), 1)
        except SecondRunError as error:
            problems.append(str(error))

    run(strategy, {1: interrupting} | honest(2, 3, 4), 2)
    assert len(problems) == 1
    assert "an object for each run" in problems[0]
    assert [len(report.decisions) for report in strategy.reports] == [4, 4]
    run(strategy, honest(1, 2, 3), 2)
    assert [report.server_round for report in strategy.reports] == [1, 2, 1, 2]


class Pardoning(PaperScoring):
    """Scores that let another thread pardon somebody while they are computed."""

    def __init__(self):
        self.strategy, self.threads, self.were_waiting = None, [], []

    def scores(self, features):
        """Give the thread time, and see whether it waits."""
        thread = threading.Thread(target=self.strategy.pardon, args=("9",))
        thread.start()
        thread.join(0.2)
        self.threads.append(thread)
        self.were_waiting.append(thread.is_alive())
        return super().scores(features)


def test_a_pardon_from_another_thread_waits_for_the_round(tmp_path):
    """It once changed the evidence while it was read, which ended the run."""

    def rubbish(body, message_type):
        return content({name: v * np.nan for name, v in START.items()})

    scoring, path = Pardoning(), tmp_path / "state.json"
    strategy = scoring.strategy = wrap(
        scoring=scoring, num_malicious=1, reputation=Reputation(), state_path=path
    )
    run(strategy, honest(1, 2, 3, 4) | {9: rubbish}, 8)
    for thread in scoring.threads:
        thread.join()
    assert scoring.were_waiting == [True] * 8
    assert not any(report.bans for report in strategy.reports)
    assert "9" not in wrap(state_path=path).state_dict()["clients"]


def test_half_or_more_to_drop_is_told_once(flower_log):
    """Five of ten have the majority, whoever they are."""
    run(wrap(num_malicious=5), honest(*range(1, 11)), 2)
    assert flower_log.text.count("num_malicious=5 of 10 clients is half or more") == 1
    run(wrap(num_malicious=4), honest(*range(1, 11)), 1)
    assert "num_malicious=4" not in flower_log.text


class Overflowing(legacy.FedAvg):
    """A legacy strategy whose optimiser overflows at once."""

    def aggregate_fit(self, server_round, results, failures):
        """Give infinities."""
        parameters, metrics = super().aggregate_fit(server_round, results, failures)
        arrays = [array * np.inf for array in parameters_to_ndarrays(parameters)]
        return ndarrays_to_parameters(arrays), metrics


def test_the_legacy_api_keeps_the_model_too():
    """`aggregate_fit` gives None for an aggregate that is not finite."""
    strategy = legacy_configured(wrap(Overflowing()), START)
    sent = [honest_update(START, client) for client in range(4)]
    results = [
        (LegacyClient(client, honest_update), fit_result(list(update.values())))
        for client, update in enumerate(sent)
    ]
    parameters, metrics = strategy.aggregate_fit(1, results, [])
    assert parameters is None
    assert metrics["vdcs-not-finite"] == 1


def test_a_legacy_client_that_fails_rests():
    """Flower tells whose result it is that says it has failed."""
    strategy = legacy_configured(wrap(legacy.FedAvg(), reputation=Reputation()), START)
    proxies = [LegacyClient(client, honest_update) for client in range(4)]
    parameters = ndarrays_to_parameters(list(START.values()))
    manager = SimpleClientManager()
    for proxy in proxies:
        manager.register(proxy)
    asked = []
    for server_round in range(1, 5):
        sent = strategy.configure_fit(server_round, parameters, manager)
        asked.append(sorted(proxy.cid for proxy, _ in sent))
        results = [
            (proxy, fit_result(list(honest_update(START, proxy.client).values())))
            for proxy in proxies[:3]
        ]
        failed = [(proxies[3], fit_result([]))] if "3" in asked[-1] else []
        strategy.aggregate_fit(server_round, results, failed)
    assert asked == [["0", "1", "2", "3"]] * 3 + [["0", "1", "2"]]
