"""Whole rounds with hardened scoring, through both of Flower's APIs."""

from math import exp, log
from statistics import median as literal_median

import flwr.server.strategy as legacy
import flwr.serverapp.strategy as message
import numpy as np
import pytest
import torch
from flwr.common import ndarrays_to_parameters, parameters_to_ndarrays
from flwr.server.client_manager import SimpleClientManager
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.datasets import make_classification
from torch import nn

from flwr_vdcs import (
    History,
    Judgement,
    Reputation,
    VirtualConsistencyStrategy,
    examine_round,
)
from flwr_vdcs.decision.clipping import ARRAYS_CLIPPED
from flwr_vdcs.errors import NumMaliciousNeededError
from tests.federation import (
    LegacyClient,
    arrays_of,
    configured,
    content,
    fit_result,
    honest_update,
    reply,
    seeded,
)
from tests.models import Tied, batch_norm_cnn, group_norm_cnn, mlp, plain_cnn, token_ids


def conv_head() -> nn.Module:
    """Classify each pixel."""
    return nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 12, 1))


MODELS = {
    "plain": (seeded(plain_cnn), (3, 8, 8)),
    "batch norm": (seeded(batch_norm_cnn), (1, 6, 6)),
    "group norm": (seeded(group_norm_cnn), (3, 8, 8)),
    "mlp": (seeded(mlp), (3, 4)),
    "conv head": (seeded(conv_head), (3, 8, 8)),
    "tied": (seeded(Tied), (7,)),
}
HONEST = [honest_update] * 7

apis = pytest.mark.parametrize("api", [message, legacy], ids=["message", "legacy"])
models = pytest.mark.parametrize("name", MODELS)


def wrap(inner, name="mlp", **options):
    """Put the plugin around a strategy."""
    model, shape = MODELS[name]
    settings = {"scoring": "hardened", "num_malicious": "auto", "seed": 1, **options}
    if name == "tied":
        settings["virtual_samples"] = token_ids
    return VirtualConsistencyStrategy(inner, model=model, input_shape=shape, **settings)


def run(api, updates, name="mlp", num_rounds=1, **options):
    """Aggregate rounds; give the plugin and what the wrapped strategy was handed."""
    seen: list[list[np.ndarray]] = []

    class Recording(api.FedAvg):
        def aggregate_train(self, server_round, replies):
            for each in replies:
                arrays = next(iter(each.content.array_records.values()))
                seen.append([a.numpy() for a in arrays.values()])
            return super().aggregate_train(server_round, replies)

        def aggregate_fit(self, server_round, results, failures):
            seen.extend(parameters_to_ndarrays(r.parameters) for _, r in results)
            return super().aggregate_fit(server_round, results, failures)

    start = arrays_of(MODELS[name][0])
    sent = [update(start, client) for client, update in enumerate(updates)]
    if name == "tied":
        sent = [
            {**arrays, "head.weight": arrays["embedding.weight"]} for arrays in sent
        ]
    strategy = wrap(Recording(), name, **options)
    for server_round in range(1, num_rounds + 1):
        if api is message:
            replies = [reply(n, content(arrays)) for n, arrays in enumerate(sent)]
            configured(strategy, start).aggregate_train(server_round, replies)
        else:
            aggregate_legacy(strategy, server_round, start, sent)
    return strategy, seen, sent


def aggregate_legacy(strategy, server_round, start, sent):
    """Configure and aggregate a round of the legacy API."""
    manager = SimpleClientManager()
    for client in range(2):
        manager.register(LegacyClient(client, honest_update))
    parameters = ndarrays_to_parameters(list(start.values()))
    strategy.configure_fit(server_round, parameters, manager)
    results = [
        (LegacyClient(n, honest_update), fit_result(list(arrays.values())))
        for n, arrays in enumerate(sent)
    ]
    strategy.aggregate_fit(server_round, results, [])


def dropped(strategy):
    """List the places of dropped clients in the last round."""
    decisions = strategy.reports[-1].decisions
    return [place for place, d in enumerate(decisions) if d.verdict == "dropped"]


def stepping(change):
    """Make an attack of what it does to the honest step; statistics stay honest."""

    def update(arrays, client):
        honest = honest_update(arrays, client)
        generator = np.random.default_rng(client)
        return {
            name: honest[name]
            if start.dtype.kind != "f" or "running" in name
            else (start + change(honest[name] - start, generator)).astype(start.dtype)
            for name, start in arrays.items()
        }

    return update


def noise(step, generator):
    """Draw noise as long as the step."""
    drawn = generator.normal(size=step.shape)
    return drawn * np.linalg.norm(step) / np.linalg.norm(drawn)


def copied(arrays, _client):
    """Send what all colluders send, which looks honest."""
    return honest_update(arrays, 500)


def uneven(arrays, client):
    """Update the first layer's bias only, so that features do not vary."""
    own = np.random.default_rng(client)
    update = {name: values.copy() for name, values in arrays.items()}
    update["1.bias"] += 0.1 * own.random(update["1.bias"].shape).astype(np.float32)
    return update


boosted = stepping(lambda step, _: 100 * step)
flipped = stepping(lambda step, _: -step)
noisy = stepping(noise)
tripled = stepping(lambda step, _: 3 * step)

ATTACKS = {
    "boosted": ([boosted, boosted], [2, 7]),
    "noisy": ([noisy, noisy], [2, 7]),
    "flipped": ([flipped, flipped], [2, 7]),
    "copied": ([copied, copied], [7]),
    "mixed": ([boosted, flipped], [2, 7]),
}
attacks = pytest.mark.parametrize("attack", ATTACKS)


def attacked(attack):
    """Put two attackers among seven, at places 2 and 7."""
    first, second = ATTACKS[attack][0]
    return [*HONEST[:2], first, *HONEST[2:6], second, HONEST[6]]


@apis
@models
def test_auto_drops_nobody_where_all_are_honest(api, name):
    """Updates that share most of their direction are all kept, as they are."""
    strategy, seen, sent = run(api, HONEST, name)
    [report] = strategy.reports
    assert (report.num_kept, report.num_malicious, report.margin) == (7, 0, None)
    assert all(d.reason == "" for d in report.decisions)
    assert all(
        np.array_equal(a, b)
        for arrays, own in zip(seen, sent, strict=True)
        for a, b in zip(arrays, own.values(), strict=True)
    )


@apis
@pytest.mark.parametrize("attack", ["boosted", "flipped", "copied", "mixed"])
@models
def test_auto_drops_exactly_the_attackers(api, name, attack):
    """Boosts, reversal and copies but the first."""
    strategy, seen, _ = run(api, attacked(attack), name)
    assert dropped(strategy) == ATTACKS[attack][1]
    report = strategy.reports[0]
    assert report.num_malicious == len(ATTACKS[attack][1])
    assert len(seen) == report.num_kept
    assert report.margin > 0
    for place in dropped(strategy):
        assert report.decisions[place].score < -1
        assert "its score is below -1: " in report.decisions[place].reason


@apis
@attacks
def test_drops_as_many_as_are_given(api, attack):
    """With M given the lowest M scores are dropped, attackers first."""
    expected = ATTACKS[attack][1]
    strategy, *_ = run(api, attacked(attack), "plain", num_malicious=len(expected))
    assert dropped(strategy) == expected
    strategy, *_ = run(api, attacked(attack), "plain", num_malicious=3)
    assert len(dropped(strategy)) == 3
    assert set(expected) <= set(dropped(strategy))


@apis
@models
def test_noise_of_honest_size_is_ranked_last_though_auto_may_let_it_pass(api, name):
    """In every layer as long as an update, it is neither with nor against the others.

    Honest clients who hold other classes than most look no better.
    """
    strategy, *_ = run(api, attacked("noisy"), name)
    assert set(dropped(strategy)) <= {2, 7}
    scores = [decision.score for decision in strategy.reports[0].decisions]
    assert sorted(range(len(scores)), key=scores.__getitem__)[:2] in ([2, 7], [7, 2])


@apis
def test_copies_of_an_attack_are_all_dropped(api):
    """The first is dropped for what it does, the others as copies of it."""
    against = lambda arrays, _: flipped(arrays, 500)  # noqa: E731
    strategy, *_ = run(api, [*HONEST[:5], against, against, against])
    assert dropped(strategy) == [5, 6, 7]
    reasons = [d.reason for d in strategy.reports[0].decisions[5:]]
    assert "copy" not in reasons[0]
    assert all("a copy of another client's update" in reason for reason in reasons[1:])


@apis
@models
def test_attackers_do_not_make_honest_clients_copies_of_each_other(api, name):
    """Four of ten who are far away do not make all others look alike."""
    updates = [*HONEST[:6], *[flipped] * 4]
    strategy, *_ = run(api, updates, name)
    assert dropped(strategy) == [6, 7, 8, 9]


@apis
@pytest.mark.parametrize(("num_honest", "most"), [(2, 2), (3, 2), (1, 1)])
def test_auto_never_drops_half(api, num_honest, most):
    """However many are suspicious, more are kept than dropped."""
    scale = lambda factor: stepping(lambda step, _: factor * step)  # noqa: E731
    attackers = [scale(10.0**k) for k in (2, 4, -5)][: 6 - num_honest]
    strategy, *_ = run(api, [*HONEST[:num_honest], *attackers])
    report = strategy.reports[0]
    assert report.num_dropped <= most
    assert report.num_dropped < report.num_kept


@apis
@pytest.mark.parametrize("num_clients", [1, 2])
def test_fewer_than_three_are_aggregated_as_they_came(api, num_clients):
    """Two who differ accuse each other, so nobody is dropped, and nothing clipped."""
    strategy, seen, sent = run(api, HONEST[:num_clients])
    report = strategy.reports[0]
    assert not report.skipped
    assert [(d.verdict, d.reason) for d in report.decisions] == [
        ("kept", "")
    ] * num_clients
    for mine, own in zip(seen, sent, strict=True):
        assert all(map(np.array_equal, mine, own.values()))


@apis
@models
def test_arrays_of_a_kept_update_that_are_too_long_are_clipped(api, name):
    """Each becomes twice the median, that is said, and it is what is aggregated."""
    updates = [boosted, tripled, *HONEST[:6]]
    strategy, seen, sent = run(api, updates, name, num_malicious=1)
    decisions = strategy.reports[0].decisions
    assert [d.verdict for d in decisions] == ["dropped", *["kept"] * 7]
    assert decisions[1].reason == ARRAYS_CLIPPED
    assert {d.reason for d in decisions[2:]} == {""}
    model, start = MODELS[name][0], arrays_of(MODELS[name][0])
    parameters = dict(model.named_parameters(remove_duplicate=False)).keys()

    clipped = dict(zip(start, seen[0], strict=True))
    for key in parameters:
        norms = [np.linalg.norm(own[key] - start[key]) for own in sent]
        median = np.exp(np.median(np.log(norms)))
        length = np.linalg.norm(clipped[key] - start[key])
        assert length == pytest.approx(2 * median, rel=1e-3)
    for arrays, own in zip(seen[1:], sent[2:], strict=True):
        assert all(map(np.array_equal, arrays, own.values()))
    assert [a.dtype for a in seen[0]] == [a.dtype for a in sent[1].values()]


@apis
def test_nothing_is_shortened_in_a_dry_run_or_by_the_published_score(api):
    """With M=0, or a scoring without a limit, every update arrives as it was sent."""
    updates = [tripled, boosted, *HONEST[:5]]
    for options in ({"num_malicious": 0}, {"scoring": "paper", "num_malicious": 1}):
        strategy, seen, sent = run(api, updates, **options)
        kept = [
            list(own.values())
            for own, d in zip(sent, strategy.reports[0].decisions, strict=True)
            if d.verdict == "kept"
        ]
        for arrays, own in zip(seen, kept, strict=True):
            assert all(map(np.array_equal, arrays, own))


@apis
def test_malformed_replies_are_quarantined_all_the_same(api):
    """Values that are not finite and missing arrays do not reach the scoring."""

    def broken(arrays, client):
        return {k: np.full_like(v, np.nan) for k, v in honest_update(arrays, 1).items()}

    def cut(arrays, client):
        return dict(list(arrays.items())[:-1])

    strategy, seen, _ = run(api, [broken, *HONEST[:5], cut, flipped])
    verdicts = [d.verdict for d in strategy.reports[0].decisions]
    quarantined, kept = "quarantined", ["kept"] * 5
    assert verdicts == [quarantined, *kept, quarantined, "dropped"]
    assert len(seen) == 5


@pytest.mark.parametrize("attack", ["boosted", "flipped"])
def test_parameters_without_buffers_are_scored(attack):
    """Legacy arrays of parameters alone, of a model that has statistics too."""
    model = MODELS["batch norm"][0]
    start = {name: p.detach().numpy() for name, p in model.named_parameters()}
    sent = [update(start, client) for client, update in enumerate(attacked(attack))]
    strategy = wrap(legacy.FedAvg(), "batch norm")
    aggregate_legacy(strategy, 1, start, sent)
    assert dropped(strategy) == ATTACKS[attack][1]


class Lengths:
    """Score by the length of an update, and say so."""

    name, threshold = "lengths", -10.0

    def features(self, probe, global_state, update):
        """Measure the whole update."""
        steps = [(update[n] - global_state[n]).flatten() for n in probe.parameter_names]
        return torch.linalg.vector_norm(torch.cat(steps))

    def scores(self, features):
        """Take shorter ones for better."""
        return -features

    def judge(self, features):
        """Tell the length."""
        reasons = [f"{length:.0f} long" for length in features]
        return Judgement(self.scores(features), reasons)


@apis
def test_a_scoring_of_ones_own_may_say_how_many_and_why(api):
    """With a threshold it works with "auto", and its reasons are reported."""
    strategy, *_ = run(api, [*HONEST[:5], boosted], scoring=Lengths())
    assert dropped(strategy) == [5]
    reason = strategy.reports[0].decisions[5].reason
    assert reason.startswith("its score is below ")
    assert reason.endswith(" long")


def test_a_scoring_without_reasons_leaves_the_reason_short():
    """The published score says how low it is, and nothing after it."""
    strategy, *_ = run(message, [*HONEST, flipped], scoring="paper", num_malicious=1)
    reasons = [d.reason for d in strategy.reports[0].decisions]
    assert reasons == [*[""] * 7, "among the 1 lowest of 8 scores"]


@apis
def test_auto_needs_a_threshold(api):
    """A scoring that does not know how far is too far is refused at construction."""

    class Endless(Lengths):
        threshold = None

    for scoring in (Endless(), "paper"):
        with pytest.raises(NumMaliciousNeededError, match="a scoring with a thr"):
            wrap(api.FedAvg(), scoring=scoring)


@apis
def test_insensitive_features_get_one_warning(api, flower_log):
    """Features that are the same for all samples are told of once, not every round."""
    strategy, *_ = run(api, [uneven] * 5, "mlp", 2, scoring="paper", num_malicious=1)
    assert flower_log.text.count("the virtual samples hardly reach the features") == 1
    assert [r.sensitivity for r in strategy.reports] == pytest.approx([0, 0], abs=1e-6)


@apis
@pytest.mark.parametrize("changed", ["1.bias", "4.bias"])
def test_hardened_scoring_does_not_warn_of_insensitivity(api, changed, flower_log):
    """It does not depend on it, even where only the head's bias moves."""

    def update(arrays, client):
        step = 0.1 * np.random.default_rng(client).random(arrays[changed].shape)
        return {**arrays, changed: arrays[changed] + step.astype(np.float32)}

    run(api, [update] * 5, num_rounds=2)
    assert "hardly reach" not in flower_log.text


def test_sensitive_features_get_no_warning(flower_log):
    """Ordinary updates are not warned of."""
    strategy, *_ = run(message, HONEST, scoring="paper", num_malicious=1)
    assert strategy.reports[0].sensitivity > 0.1
    assert "hardly reach" not in flower_log.text


def trained(net, start, images, labels, generator):
    """Train one epoch from the global model, as a client does."""
    net.load_state_dict({key: torch.tensor(value) for key, value in start.items()})
    optimiser = torch.optim.Adam(net.parameters(), 1e-3)
    for batch in torch.randperm(len(labels), generator=generator).split(32):
        optimiser.zero_grad()
        nn.functional.cross_entropy(net(images[batch]), labels[batch]).backward()
        optimiser.step()
    return arrays_of(net)


def test_no_honest_client_is_banned_where_there_are_two_classes():
    """A head of two rows has one direction: trained models undo it by chance."""
    inputs, labels = make_classification(
        5000, 20, n_informative=10, flip_y=0.05, random_state=0
    )
    inputs, labels = torch.tensor(inputs).float(), torch.tensor(labels)
    net = seeded(
        lambda: nn.Sequential(
            nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 2)
        )
    )
    strategy = VirtualConsistencyStrategy(
        message.FedAvg(),
        model=net,
        input_shape=(20,),
        num_malicious="auto",
        scoring="hardened",
        seed=1,
        reputation=Reputation(),
    )
    start, generator = arrays_of(net), torch.Generator().manual_seed(0)
    for server_round in range(1, 26):
        replies = []
        for client in range(10):
            own = (inputs[client::10], labels[client::10])
            replies.append(reply(client, content(trained(net, start, *own, generator))))
        found, _ = configured(strategy, start).aggregate_train(server_round, replies)
        start = {key: array.numpy() for key, array in found.items()}
    assert not [report.bans for report in strategy.reports if report.bans]


def growth_of(logs, lengths):
    """Fit the slope of lengths on claims by repeated medians, in two loops."""
    medians = []
    for x, y in zip(logs, lengths, strict=True):
        pairs = zip(logs, lengths, strict=True)
        slopes = [(y - b) / (x - a) for a, b in pairs if abs(x - a) > 0.1]
        medians += [literal_median(slopes)] if slopes else []
    return min(max(literal_median(medians), 0.0), 1.0) if medians else 0.0


def norms_of(start, update):
    """Measure how far each array went."""
    return [np.linalg.norm(np.float64(update[n]) - start[n]) for n in start]


def expected_norms(start, sent, claims):
    """Tell what each client's arrays are expected to be like from all that was sent."""
    logs, norms = [log(claim) for claim in claims], [norms_of(start, s) for s in sent]
    beta = growth_of(logs, [log(np.linalg.norm(row)) for row in norms])
    typical = [
        literal_median(log(n) - beta * m for n, m in zip(column, logs, strict=True))
        for column in zip(*norms, strict=True)
    ]
    return [[exp(each + beta * m) for each in typical] for m in logs]


@settings(max_examples=25)
@given(
    factors=st.lists(st.floats(-50, 50).filter(abs), min_size=3, max_size=9),
    claims=st.lists(st.integers(10, 900), min_size=9, max_size=9),
)
def test_no_array_of_a_kept_update_is_longer_than_twice_what_is_expected(
    factors, claims
):
    """Whatever is sent, so no client moves the model by more than its weight of it."""
    model, shape = MODELS["mlp"]
    start = arrays_of(model)
    scales = [scale if abs(scale) > 0.01 else 1.0 for scale in factors]
    sent = [
        stepping(lambda step, _, by=by: by * step)(start, n)
        for n, by in enumerate(scales)
    ]
    found = examine_round(
        model,
        {n: torch.tensor(v) for n, v in start.items()},
        [{n: torch.tensor(v) for n, v in update.items()} for update in sent],
        input_shape=shape,
        num_malicious="auto",
        scoring="hardened",
        seed=1,
        num_examples={str(n): claims[n] for n in range(len(sent))},
    )
    admitted = [
        n for n, d in enumerate(found.report.decisions) if d.verdict != "quarantined"
    ]
    expected = expected_norms(
        start, [sent[n] for n in admitted], [claims[n] for n in admitted]
    )
    for place, most in zip(admitted, expected, strict=True):
        if str(place) in found.kept:
            state = {n: v.numpy() for n, v in found.kept[str(place)].items()}
            pairs = zip(norms_of(start, state), most, strict=True)
            assert all(norm <= 2.001 * each + 1e-6 for norm, each in pairs)


def whole_norm(start, update):
    """Measure how far all arrays went together."""
    return np.linalg.norm(norms_of(start, update))


@settings(max_examples=25)
@given(
    factors=st.lists(
        st.tuples(st.floats(0.2, 20), st.floats(0.02, 20)), min_size=3, max_size=7
    )
)
def test_in_a_second_round_a_kept_client_may_be_as_long_as_it_was(factors):
    """If that was less than twice what was expected, and no longer."""
    model, shape = MODELS["mlp"]
    start, history = arrays_of(model), History()
    rounds = [
        [
            stepping(lambda step, _, by=by: by * step)(start, n)
            for n, by in enumerate(scales)
        ]
        for scales in zip(*factors, strict=True)
    ]
    for sent in rounds:
        found = examine_round(
            model,
            {n: torch.tensor(v) for n, v in start.items()},
            [{n: torch.tensor(v) for n, v in update.items()} for update in sent],
            input_shape=shape,
            seed=1,
            history=history,
        )
    assume(not found.report.num_quarantined)
    before, now = ([whole_norm(start, each) for each in sent] for sent in rounds)
    usual, expected = (exp(literal_median(map(log, each))) for each in (before, now))
    arrays = expected_norms(start, rounds[1], [100] * len(now))
    for place, state in found.kept.items():
        was = before[int(place)]
        times = max(2, was / expected) if was < 2 * usual else 2
        norms = norms_of(start, {n: v.numpy() for n, v in state.items()})
        for norm, each in zip(norms, arrays[int(place)], strict=True):
            assert norm <= 1.001 * times * each + 1e-6


def sent_by(seed, clients, start):
    """Draw updates of which each array is longer or shorter, and some are reversed."""
    generator = np.random.default_rng(seed)
    updates = []
    for client in range(clients):
        honest = honest_update(start, client)
        factors = np.exp(2 * generator.normal(size=len(start)))
        factors *= generator.choice([1.0, 1.0, 1.0, -1.0])
        updates.append(
            {
                name: (start[name] + by * (honest[name] - start[name])).astype("f4")
                for name, by in zip(start, factors, strict=True)
            }
        )
    return updates


def step_of(start, arrays):
    """Give what changed, in double precision."""
    return [np.float64(arrays[name]) - start[name] for name in start]


@settings(max_examples=20)
@given(
    seed=st.integers(0, 2**32 - 1),
    claims=st.lists(st.integers(10, 900), min_size=3, max_size=9),
)
def test_a_kept_client_moves_the_mean_by_its_share_of_claims_times_twice_the_expected(
    seed, claims
):
    """Array by array, whatever else is sent; shorter arrays go on as they came."""
    start = arrays_of(MODELS["mlp"][0])
    sent = sent_by(seed, len(claims), start)
    strategy = wrap(message.FedAvg())
    replies = [
        reply(n, content(arrays, {"num-examples": claim}))
        for n, (arrays, claim) in enumerate(zip(sent, claims, strict=True))
    ]
    found, _ = configured(strategy, start).aggregate_train(1, replies)
    verdicts = [d.verdict for d in strategy.reports[0].decisions]
    assert "quarantined" not in verdicts
    kept = [n for n, verdict in enumerate(verdicts) if verdict == "kept"]
    total = sum(claims[n] for n in kept)
    expected = expected_norms(start, sent, claims)

    mean = [np.zeros_like(step) for step in step_of(start, start)]
    for n in kept:
        for place, step in enumerate(step_of(start, sent[n])):
            long = np.linalg.norm(step)
            clipped = step * min(1.0, 2 * expected[n][place] / long)
            mean[place] += claims[n] / total * clipped
    most = [
        sum(claims[n] / total * 2 * expected[n][place] for n in kept)
        for place in range(len(start))
    ]
    aggregated = step_of(start, {name: a.numpy() for name, a in found.items()})
    for got, literal, bound in zip(aggregated, mean, most, strict=True):
        assert np.allclose(got, literal, rtol=0, atol=1e-3 * bound + 1e-6)
        assert np.linalg.norm(got) <= 1.001 * bound + 1e-6
