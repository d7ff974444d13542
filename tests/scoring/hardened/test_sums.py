"""Sums over the rounds, against the definition, by hand, and what chance makes."""

import math
from statistics import NormalDist, median

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from flwr_vdcs.scoring.hardened._agreement import CHANNELS
from flwr_vdcs.scoring.hardened._sums import REMEMBERED, Sums, add_round

seeds = st.integers(0, 2**32 - 1)
WEIGHTS = CHANNELS.index("weights")


def drawn(seed: int, clients: int, mean: float = 0.5, spread: float = 0.3) -> Tensor:
    """Draw how far clients go along."""
    generator = torch.Generator().manual_seed(seed)
    return mean + spread * torch.randn(clients, generator=generator).double()


def add_all(rounds: list[Tensor]) -> Sums:
    """Add rounds of one channel, in which everybody is a peer."""
    known: dict[str, Tensor] = {}
    for along in rounds:
        sums = add_round({"weights": along}, torch.ones(len(along)).bool(), known)
        known = sums.remembered()
    return sums


def literal_spread(values: list[float]) -> float:
    """Estimate a variance robustly, shrunk to 0.15²."""
    n = len(values)
    h = min(math.ceil(n / 2) + 1, n)
    away = sorted(abs(value - median(values)) for value in values)[h - 1]
    deviation = away / NormalDist().inv_cdf(0.5 + (h - 0.5) / n / 2)
    return (2 * 0.15**2 + n * deviation**2) / (2 + n)


def literal_sums(rounds: list[list[float]]) -> tuple[list[float], float, float]:
    """Add up terms of rounds, one client at a time."""
    gained, possible, seen, spread, count = [0.0] * len(rounds[0]), 0.0, 0.0, 0.0, 0.0
    for values in rounds:
        count = 0.9 * count + 1
        spread = 0.9 * spread + literal_spread(values)
        s2, mu = spread / count, max(median(values), 0.0)
        terms = [mu * min(x, 2 * mu) / s2 for x in values]
        gained = [0.9 * a + b for a, b in zip(gained, terms, strict=True)]
        chance = math.pi / 2 / len(values) if mu > 0 else 0.0
        possible = 0.9 * possible + mu**2 / s2 - chance
        seen = 0.81 * seen + mu**2 / s2
    return gained, possible, seen


@given(seed=seeds, clients=st.integers(2, 9), num_rounds=st.integers(1, 4))
def test_equals_the_definition(seed, clients, num_rounds):
    """Over several rounds, in some of which nothing is common."""
    rounds = [drawn(seed + n, clients, 0.3 * (n % 3) - 0.1) for n in range(num_rounds)]
    sums = add_all(rounds)
    gained, possible, seen = literal_sums([along.tolist() for along in rounds])
    assert sums.gained[WEIGHTS].tolist() == pytest.approx(gained)
    assert sums.possible[WEIGHTS].tolist() == pytest.approx(
        [possible] * clients, rel=1e-5, abs=1e-6
    )
    assert sums.seen[WEIGHTS].tolist() == pytest.approx([seen] * clients, rel=1e-5)


def test_two_rounds_by_hand():
    """Where all go along by 1 the variance is 0.045 / 7, and a round counts 1 over it.

    The second time the first counts for 0.9. Of possible, pi / 10 is chance.
    """
    sums, once = add_all([torch.ones(5).double()] * 2), 7 / 0.045
    assert sums.gained[WEIGHTS].tolist() == pytest.approx([1.9 * once] * 5)
    possible = 1.9 * (once - math.pi / 10)
    assert sums.possible[WEIGHTS].tolist() == pytest.approx([possible] * 5)
    assert sums.seen[WEIGHTS].tolist() == pytest.approx([1.81 * once] * 5)
    assert sums.rounds.tolist() == pytest.approx([1.9] * 5)


@given(seed=seeds)
def test_a_round_with_nothing_in_common_washes_nothing_out(seed):
    """What each has gained of what was possible stays what it was."""
    before = add_all([drawn(seed, 7)])
    after = add_all([drawn(seed, 7), -drawn(seed, 7).abs() - 1])
    ratios = [s.gained[WEIGHTS] / s.possible[WEIGHTS] for s in (before, after)]
    assert ratios[1].tolist() == pytest.approx(ratios[0].tolist())


def test_by_chance_nothing_is_possible():
    """Where clients have nothing in common its mean over many rounds is about zero."""
    generator = torch.Generator().manual_seed(0)
    alone = [0.15 * torch.randn(25, generator=generator).double() for _ in range(600)]
    sums = [add_all([along]) for along in alone]
    possible = torch.stack([s.possible[WEIGHTS, 0] for s in sums])
    seen = torch.stack([s.seen[WEIGHTS, 0] for s in sums])
    assert abs(possible.mean()) < 0.3 * seen.mean()


@given(seed=seeds, factor=st.floats(1, 1e6))
def test_nobody_gains_more_than_twice_what_the_median_client_does(seed, factor):
    """However far it goes."""
    along = drawn(seed, 7).abs() + 0.1
    along[3] = factor * 100
    sums = add_all([along])
    most = 2 * sums.seen[WEIGHTS, 0].item()
    assert sums.gained[WEIGHTS, 3].item() == pytest.approx(most)


def test_a_channel_that_is_not_there_counts_for_nothing():
    """As the momentum of a first round does."""
    sums = add_all([drawn(1, 5)])
    for kind in (sums.gained, sums.possible, sums.seen, sums.spread):
        assert kind[WEIGHTS].any()
        assert not kind[WEIGHTS + 1 :].any()


def test_who_is_no_peer_has_no_say():
    """A copy's agreement changes nobody's sums."""
    is_peer = torch.tensor([True] * 5 + [False])
    found = [
        add_round({"weights": torch.cat([drawn(1, 5), last])}, is_peer, {})
        for last in (torch.zeros(1).double(), torch.full((1,), 9.0).double())
    ]
    assert torch.equal(found[0].gained[:, :5], found[1].gained[:, :5])
    assert torch.equal(found[0].possible, found[1].possible)


def test_what_is_remembered_has_the_names_that_are_declared():
    """And a number for each client."""
    remembered = add_all([drawn(1, 5)]).remembered()
    assert set(remembered) == set(REMEMBERED)
    assert {value.shape for value in remembered.values()} == {(5,)}
