"""The examples that try faults: what they make, what they count, what they measure."""

import logging
import sys
from dataclasses import replace

import flwr.server.strategy as legacy
import flwr.serverapp.strategy as message
import numpy as np
import pytest
from faults.clients import Hospitals, accuracy, num_digits
from faults.draft import WEIGHT, Draft, decoded, encoded
from faults.exchanges import EXCHANGES
from faults.federations import LegacyFederation, MessageFederation
from faults.measuring import measure
from faults.models import build_complex_model, build_model
from faults.mutations import COMBINATION, mutate, names, possible
from faults.outcomes import Outcome
from faults.plans import SETTINGS, all_plans, run_rounds
from faults.population import Population
from faults.sizes import CASES
from faults.soaking import ALONE, EMPTIED, PLUGIN, Soak
from faults.tally import (
    BY_MUTATION,
    BY_SETTING,
    CHANGED,
    COUNTS,
    PROBLEMS,
    RAISED,
    Tally,
)
from faults.tampering import (
    Kind,
    Liars,
    Round,
    Scene,
    Situation,
    Tampering,
    honest_drafts,
)
from faults.trends import BLOCK, trend
from faults.trial import Trial
from flwr.app import Message, RecordDict

from flwr_vdcs import Decision, RoundReport

HOSPITALS = Hospitals(4, seed=0)
APIS = ("message", "legacy")


@pytest.fixture(autouse=True)
def _unchanged_process():
    """Take back what scripts may change in a process of their own."""
    logger = logging.getLogger("flwr")
    level = logger.level
    yield
    logger.setLevel(level)


def test_hospitals_learn():
    """What their training changed makes the model better, from any start."""
    everything = np.arange(num_digits())
    trained = HOSPITALS.answer(0, HOSPITALS.start)
    assert accuracy(trained, everything) > accuracy(HOSPITALS.start, everything) > 0.5
    again = HOSPITALS.answer(0, trained)
    moved = trained["0.weight"] - HOSPITALS.start["0.weight"]
    np.testing.assert_allclose(
        again["0.weight"] - trained["0.weight"], moved, atol=1e-6
    )


def test_running_statistics_forget_a_ruined_start():
    """After six batches of momentum 0.1 about half of a start is left."""
    ruined = {**HOSPITALS.start, "1.running_var": np.full(8, -1.0, np.float32)}
    statistics = HOSPITALS.answer(0, ruined)["1.running_var"]
    assert (statistics > -1).all()
    assert (statistics < HOSPITALS.answer(0, HOSPITALS.start)["1.running_var"]).all()


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("phase", ["train", "evaluate"])
def test_every_mutation_changes_the_reply(api, phase):
    """None is there in name only; one may draw the same value by chance."""
    arrays = HOSPITALS.start if phase == "train" else {}
    [draft, *_] = honest_drafts(api, HOSPITALS, arrays)
    stages = possible(api, phase)
    for name in names(stages):
        found = [
            mutate(draft, name, stages, np.random.default_rng(seed))
            for seed in range(5)
        ]
        assert any(
            each != draft or [*each.arrays] != [*draft.arrays] for each in found
        ), name


def test_a_combination_is_more_than_one_mutation():
    """It takes one of each of at least two stages."""
    [draft, *_] = honest_drafts("message", HOSPITALS, HOSPITALS.start)
    stages = possible("message", "train")
    rng = np.random.default_rng(0)
    both = [mutate(draft, COMBINATION, stages, rng) for _ in range(20)]
    assert any(
        each.metrics != draft.metrics and each.arrays != draft.arrays for each in both
    )


def test_most_of_the_clients_stay_honest():
    """One to four of ten are tampered with, and every mutation has its turn."""
    hospitals = Hospitals(10, seed=0)
    honest = honest_drafts("message", hospitals, {})
    tampering = Tampering(np.random.default_rng(0))
    liars = Liars(tampering.choose(10))
    scene = Scene(Situation("message"), "evaluate")
    rounds = [tampering.tamper(scene, honest, liars) for _ in range(50)]
    assert {len(sent.kinds) for sent in rounds} == {1, 2, 3, 4}
    mutations = {kind.mutation for sent in rounds for kind in sent.kinds.values()}
    assert mutations == set(names(possible("message", "evaluate")))
    tampered = {client for sent in rounds for client in sent.kinds}
    assert tampered == set(map(str, liars.clients))


def test_a_broken_client_only_answers_with_errors():
    """Whenever it is asked."""
    honest = honest_drafts("message", HOSPITALS, {})
    tampering = Tampering(np.random.default_rng(0))
    liars = Liars((1, 2), broken=frozenset({2}))
    scene = Scene(Situation("message"), "evaluate")
    for asked in (honest, honest[:1]):
        sent = tampering.tamper(scene, asked, liars)
        errors = {draft.client for draft in sent.replies if draft.is_error}
        assert errors - {1} == {draft.client for draft in asked} & {2}


@pytest.mark.parametrize("travels", EXCHANGES)
def test_clients_answer_with_what_travels(travels):
    """As many arrays as they were sent, which make the next model."""
    exchange = EXCHANGES[travels]
    build = build_complex_model if travels == "complex numbers" else build_model
    hospitals = Hospitals(4, 0, build)
    sent = exchange.of_server(hospitals.start)
    [draft, *_] = honest_drafts("message", hospitals, sent, exchange)
    found = {key: decoded(data) for key, data in draft.arrays.items()}
    assert draft.array_records == exchange.array_records
    trained = exchange.model_after(sent, found)
    expected = hospitals.answer(0, sent)
    assert trained.keys() == sent.keys() == expected.keys()
    for key, values in trained.items():
        assert values.dtype == sent[key].dtype
        np.testing.assert_allclose(values, expected[key], rtol=1e-2, atol=1e-3)


def test_every_setting_meets_every_strategy():
    """In both APIs; report only is among the settings, and float16 among the models."""
    plans = all_plans()
    for name, values in (("setting", SETTINGS), ("travels", EXCHANGES)):
        assert {getattr(plan, name) for plan in plans} == set(values)
    half = {plan.strategy for plan in plans if plan.travels == "the model in float16"}
    assert {"QFedAvg", "FedYogi"} <= half


def test_a_tally_counts_what_became_of_each_kind(tmp_path):
    """Verdicts count for the reply's own kind, harm for all kinds of the round."""
    kind, other = Kind("message", "train", "one NaN"), Kind("message", "train", "empty")
    drafts = [Draft(client, {}, {}) for client in (1, 2, 3)]
    sent = Round("round 1", drafts, {"1": kind, "2": other}, {"1", "2"})
    verdicts = [
        Decision("1", "quarantined", None, "NaN"),
        Decision("2", "kept", 0.5),
        Decision("3", "quarantined", None, "unlucky"),
    ]
    tally = Tally()
    report = RoundReport(1, tuple(verdicts), 0, "paper", "cpu", 0, 0.0)
    tally.add_round(sent, [replace(report, bans=("1", "3"))])
    tally.add_problem(RAISED, sent, "an error")
    tally.write(tmp_path / "counts.csv")
    header, *rows = (tmp_path / "counts.csv").read_text().splitlines()
    assert header == ",".join((*BY_MUTATION, *COUNTS))
    assert rows == [
        "message,train,empty,1,1,0,0,0,0,1,0,1,1,0",
        "message,train,one NaN,1,0,0,1,0,0,1,0,1,1,0",
    ]
    assert tally.problems == [
        "honest quarantined: unlucky (round 1; empty, one NaN)",
        "honest banned: 3 (round 1; empty, one NaN)",
        "raised: an error (round 1; empty, one NaN)",
    ]


def test_a_tally_is_split_by_setting(tmp_path):
    """Its rows add up to those by mutation."""
    kinds = [
        Kind("message", "train", mutation, "its head", "paper")
        for mutation in ("one NaN", "empty")
    ]
    drafts = [Draft(1, {}, {}), Draft(2, {}, {})]
    tally = Tally()
    tally.add_round(Round("", drafts, {"1": kinds[0], "2": kinds[1]}), [])
    tally.write(tmp_path / "counts.csv", BY_SETTING)
    _, row = (tmp_path / "counts.csv").read_text().splitlines()
    assert row.startswith("its head,paper,2,2,0")


def test_an_evaluation_without_a_report_kept_everything():
    """The plugin reports an evaluation only if it quarantined something."""
    kind = Kind("message", "evaluate", "an error")
    drafts = [Draft(1, {}, {}, is_error=True), Draft(2, {}, {})]
    tally = Tally()
    tally.add_round(Round("", drafts, {"1": kind, "2": kind}), [])
    counts = tally.counts[kind]
    assert (counts["replies"], counts["kept"], counts["errors"]) == (2, 1, 1)
    assert tally.num_judged == 1


class _Broken:
    """A strategy that raises."""

    reports = ()

    def __init__(self, error=ZeroDivisionError):
        self.error = error

    def configure_train(self, *_):
        """Ask one client."""
        return [Message(RecordDict(), dst_node_id=1, message_type="train")]

    def aggregate_train(self, *_):
        """Raise."""
        raise self.error


def tried(strategy, tally, alone=None):
    """Put a strategy on trial."""
    return Trial(
        Situation("message"),
        "broken",
        MessageFederation(strategy, range(1, 5)),
        HOSPITALS,
        Tampering(np.random.default_rng(0)),
        tally,
        Liars((1, 2, 3, 4)),
        alone=alone and MessageFederation(alone, range(1, 5)),
    )


def test_a_trial_counts_what_leaves_the_plugin():
    """An exception is counted, and the model stays."""
    tally = Tally()
    trial = tried(_Broken(), tally)
    assert trial.train(1, HOSPITALS.start) is HOSPITALS.start
    assert tally.total(RAISED) >= 1
    assert "ZeroDivisionError" in tally.problems[0]


@pytest.mark.parametrize(
    ("error", "is_same"), [(ZeroDivisionError, True), (KeyError, False)]
)
def test_a_report_only_is_compared_with_the_strategy_alone(error, is_same):
    """The errors of the strategy are to be the same, too."""
    tally = Tally()
    tried(_Broken(), tally, alone=_Broken(error)).train(1, HOSPITALS.start)
    assert tally.total(RAISED) == 0
    assert (tally.total(CHANGED) == 0) is is_same


def test_outcomes_are_compared_bit_for_bit():
    """Not-a-number is like itself, and zero is not like minus zero."""
    nan, zero = {"a": np.array([np.nan])}, {"a": np.array([0.0])}
    assert Outcome(nan, "").is_same(Outcome(dict(nan), ""))
    assert not Outcome(zero, "").is_same(Outcome({"a": -zero["a"]}, ""))
    assert not Outcome(zero, "").is_same(Outcome(zero, "metrics"))
    assert not Outcome(zero, "").is_same(Outcome(None, ""))


def test_federations_of_both_apis_train_alike():
    """Without a mutation the two APIs give the same model."""
    found = []
    for api, federation in (
        ("message", MessageFederation(message.FedAvg(), range(1, 5))),
        ("legacy", LegacyFederation(legacy.FedAvg(inplace=False), range(1, 5))),
    ):
        federation.configure(1, HOSPITALS.start)
        drafts = honest_drafts(api, HOSPITALS, HOSPITALS.start)
        found.append(federation.train(1, drafts))
    for key in HOSPITALS.start:
        np.testing.assert_allclose(found[0][key], found[1][key], rtol=1e-5, atol=1e-6)


def test_the_trials_find_no_harm():
    """A hundred and fifty mutated replies; the committed file has thousands."""
    tally = Tally()
    rounds = run_rounds(7, tally)
    while tally.num_judged < 150:
        next(rounds)
    assert [tally.total(name) for name in PROBLEMS] == [0] * len(PROBLEMS)
    assert tally.problems == []


def test_sizes_start_from_an_honest_reply():
    """The first case is what the others are compared with."""
    draft = Draft(1, {"1.weight": encoded(np.zeros((2, 2)))}, {WEIGHT: 1})
    assert next(iter(CASES)) == "honest"
    assert CASES["honest"](draft) is draft


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a peak of memory")
@pytest.mark.parametrize(
    ("case", "verdict"),
    [
        ("honest", "kept"),
        ("a header that claims 4 TB", "quarantined"),
        ("a weight with 5,000 digits", "quarantined"),
        ("1,000 answers", "kept and quarantined"),
    ],
)
def test_a_size_is_measured(case, verdict, monkeypatch):
    """It takes some time, little memory, and a short reason."""
    monkeypatch.setattr("faults.measuring.NUM_REPEATS", 1)
    cost = measure(case)
    assert cost.verdict == verdict
    assert 0 < cost.seconds < 30
    assert cost.peak_mib < 300
    assert cost.reason_length < 200


def test_clients_come_and_go():
    """Eight are online at any time, and in the end most have been replaced."""
    population = Population(8, 2, seed=0, is_harmless=True)
    first = set(population.nodes)
    for _ in range(30):
        population.exchange()
        assert len(population.nodes) == 8
    assert population.num_seen > 20
    assert set(population.nodes) != first


@pytest.mark.parametrize("run", [PLUGIN, EMPTIED, ALONE])
def test_a_soak_takes_a_sample_a_round(run, tmp_path):
    """Memory, time, files and verdicts, after every round."""
    done = []
    soak = Soak(run, tmp_path, num_rounds=3, num_online=10, num_leaving=2, seed=0)
    soak.start(lambda: done.append(1))
    assert [sample.server_round for sample in soak.samples] == [1, 2, 3]
    assert len(done) == 3
    last = soak.samples[-1]
    assert last.resident_kib > 0
    assert (last.log_bytes > 0) is (last.state_bytes > 0) is (run != ALONE)
    assert (soak.report_kibibytes() > 0) is (run == PLUGIN)
    refused = last.dropped + last.quarantined + last.banned
    assert last.kept + refused <= 12
    assert (refused > 0) is (run != ALONE)


def test_a_trend_is_found_and_its_absence_too():
    """A line of slope 2 with noise, and noise alone."""
    noise = np.random.default_rng(0).normal(size=200)
    rising = trend(list(2 * np.arange(200) + noise))
    assert rising.low < 2 < rising.high
    assert rising.high - rising.low < 0.1
    flat = trend(list(noise))
    assert flat.low < 0 < flat.high


def test_a_trend_needs_enough_rounds():
    """Two blocks at least."""
    with pytest.raises(ValueError, match="too few"):
        trend([1.0] * (2 * BLOCK - 1))


def test_arrays_survive_encoding():
    """What is encoded is decoded."""
    array = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(decoded(encoded(array)), array)
