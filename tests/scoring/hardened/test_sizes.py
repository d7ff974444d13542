"""Sizes: how far from the median, and from what a client used to send."""

import math
from statistics import median

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from flwr_vdcs.scoring.hardened._evidence import SIZES
from flwr_vdcs.scoring.hardened._sizes import (
    TOLERANCES,
    as_usual,
    distances,
    tolerated,
    usual_length,
)

UPDATE, HEAD = SIZES.index("update"), SIZES.index("head")
EFFECT = SIZES.index("effect")
STATISTICS = SIZES.index("running statistics")

seeds = st.integers(0, 2**32 - 1)
factors = st.floats(1.01, 100)


def lengths(*updates: float) -> Tensor:
    """Let all places of a client be as large as its update."""
    logs = torch.tensor(updates, dtype=torch.float64).log()
    return logs[:, None].repeat(1, len(SIZES))


def drawn(seed: int, spread: float = 2.0) -> Tensor:
    """Draw sizes of seven clients."""
    generator = torch.Generator().manual_seed(seed)
    return spread * torch.randn(7, len(SIZES), generator=generator).double()


def remembered(seed: int) -> Tensor:
    """Draw what may be remembered of seven clients, nothing of some."""
    generator = torch.Generator().manual_seed(seed + 1)
    known = torch.rand(7, generator=generator) > 0.3
    return torch.where(known, drawn(seed + 2)[:, 0].exp(), 0.0)


def suspicions(sizes: Tensor, past: Tensor, share: float = 1.0) -> Tensor:
    """Judge as the scoring does."""
    shares = torch.full_like(past, share)
    return tolerated(as_usual(distances(sizes), sizes, past, shares))


@given(seed=seeds)
def test_equals_the_definition(seed):
    """One number at a time, on lengths instead of their logarithms."""
    sizes, past = drawn(seed), remembered(seed)
    rows, used = sizes.exp().tolist(), past.tolist()
    typical = [
        math.exp(median(math.log(row[p]) for row in rows)) for p in range(len(SIZES))
    ]
    found = suspicions(sizes, past)
    for k, row in enumerate(rows):
        longer = row[UPDATE] / typical[UPDATE]
        usual = max(1.0, min(longer, used[k] / typical[UPDATE]))
        for p, name in enumerate(SIZES):
            factor = row[p] / typical[p]
            if factor > 1 and name not in {"running statistics", "buffers"}:
                factor = max(1.0, factor / usual)
            expected = abs(math.log(factor)) / math.log(TOLERANCES[name])
            if name == "effect" and expected < 1:
                expected = expected**4
            assert found[k, p].item() == pytest.approx(expected, abs=1e-9)


def test_hand_worked_example():
    """Of 32 times the median, what was 8 times it before leaves 4: one tolerance."""
    sizes = lengths(1, 1, 1, 1, 32)
    past = torch.tensor([1.0, 1, 1, 1, 8]).double()
    found = suspicions(sizes, past)
    assert_close(found[4, UPDATE].item(), 1.0)
    assert_close(found[4, HEAD].item(), 1.0)
    assert_close(found[4, STATISTICS].item(), math.log(32) / math.log(20))
    assert not found[:4].any()


def test_an_effect_within_its_tolerance_says_little():
    """Half of its tolerance counts a sixteenth, all of it and more as any other."""
    away = torch.zeros(3, len(SIZES)).double()
    away[:, EFFECT] = torch.tensor([-0.5, 1.0, 2.0]) * math.log(TOLERANCES["effect"])
    away[:, HEAD] = 0.5 * math.log(TOLERANCES["head"])
    assert_close(tolerated(away)[:, EFFECT], torch.tensor([1 / 16, 1.0, 2.0]).double())
    assert_close(tolerated(away)[:, HEAD], torch.full((3,), 0.5).double())


@given(seed=seeds)
def test_without_a_past_distances_count_as_they_are(seed):
    """Nothing remembered is nothing tolerated."""
    sizes = drawn(seed)
    assert_close(
        suspicions(sizes, torch.zeros(7).double()), tolerated(distances(sizes))
    )


@given(seed=seeds)
def test_nobody_is_more_suspicious_for_its_past(seed):
    """A past takes away of what is too long, and makes nothing too short."""
    sizes = drawn(seed)
    away, past = distances(sizes), remembered(seed)
    assert (suspicions(sizes, past) <= tolerated(away) + 1e-12).all()
    assert (as_usual(away, sizes, past, torch.ones(7)).sign() * away.sign() >= 0).all()


@given(seed=seeds, past=st.floats(1, 1e6))
def test_a_part_alone_gains_nothing(seed, past):
    """Whose whole update is no longer than the median's is judged by the median."""
    sizes = drawn(seed)
    sizes[:, UPDATE] = 0
    sizes[3, HEAD] += 5
    known = torch.full((7,), past).double()
    assert_close(suspicions(sizes, known), tolerated(distances(sizes)))


@given(seed=seeds, share=st.floats(-1, 0))
def test_who_goes_against_the_others_gains_nothing(seed, share):
    """What nobody learns from it leaves it long for ever."""
    sizes = drawn(seed)
    found = suspicions(sizes, remembered(seed), share)
    assert_close(found, tolerated(distances(sizes)))


@given(factor=factors)
def test_who_goes_on_while_the_others_finish_is_not_suspicious(factor):
    """It is long because they became short, by whatever factor."""
    start, end = lengths(*[1.0] * 5), lengths(1, *[1 / factor] * 4)
    past = usual_length(start, torch.zeros(5).double())
    assert_close(past, torch.ones(5).double())
    assert not suspicions(end, past)[0, UPDATE] > 1e-9
    assert suspicions(end, torch.zeros(5).double())[0, UPDATE] > 0


@given(factor=st.floats(4.01, 100), num_rounds=st.integers(1, 5))
def test_who_was_never_like_the_others_stays_suspicious(factor, num_rounds):
    """However often a boosted update comes."""
    sizes, past = lengths(1, 1, 1, 1, factor), torch.zeros(5).double()
    for _ in range(num_rounds):
        past = usual_length(sizes, past)
    assert past[4] == 0
    assert suspicions(sizes, past)[4, UPDATE] > 1


def test_nobody_climbs_by_steps():
    """What is only tolerated for its past does not become the past."""
    past = torch.zeros(5).double()
    for length in (1, 3.4, 11, 40):
        sizes = lengths(1, 1, 1, 1, length)
        found = suspicions(sizes, past)[4, UPDATE].item()
        past = usual_length(sizes, past)
    assert past[4].item() == pytest.approx(3.4)
    assert found == pytest.approx(math.log(40 / 3.4) / math.log(4))


@given(seed=seeds)
def test_a_length_is_noted_only_where_all_sizes_are_like_the_others(seed):
    """One place that is not leaves what was noted before."""
    sizes, past = drawn(seed, 0.7), remembered(seed)
    noted = usual_length(sizes, past)
    for k, row in enumerate(tolerated(distances(sizes)).tolist()):
        expected = sizes[k, UPDATE].exp() if max(row) <= 1 else past[k]
        assert noted[k].item() == pytest.approx(expected.item())
