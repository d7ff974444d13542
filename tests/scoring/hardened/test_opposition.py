"""Sums to opposition: who works against the others, and where nothing is known."""

import math
from statistics import NormalDist, median

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from flwr_vdcs.scoring.hardened._agreement import CHANNELS
from flwr_vdcs.scoring.hardened._opposition import WAYS, Opposition, find_opposition
from flwr_vdcs.scoring.hardened._sums import add_round

seeds = st.integers(0, 2**32 - 1)
PARTS = [way for way in WAYS if way != "whole"]


def weighed(channels: dict[str, Tensor]) -> dict[str, Opposition]:
    """Weigh one round in which everybody is a peer."""
    clients = len(next(iter(channels.values())))
    everybody = torch.ones(clients).bool()
    return find_opposition(add_round(channels, everybody, {}), everybody)


def going(*along: float) -> dict[str, Tensor]:
    """Let clients go along so far in all channels."""
    return dict.fromkeys(CHANNELS, torch.tensor(along, dtype=torch.float64))


def drawn(seed: int, clients: int, mean: float = 0.5) -> dict[str, Tensor]:
    """Draw how far clients go along in each channel."""
    generator = torch.Generator().manual_seed(seed)
    shape = (len(CHANNELS), clients)
    rows = mean + 0.2 * torch.randn(shape, generator=generator).double()
    return dict(zip(CHANNELS, rows, strict=True))


def literal_part(x: list[float]) -> tuple[list[float], list[float]]:
    """Weigh one channel alone after one round, one client at a time."""
    n, typical = len(x), max(median(x), 0.0)
    s2 = literal_variance(x, 0.15**2)
    possible = typical**2 / s2 - (math.pi / 2 / n if typical > 0 else 0.0)
    if possible <= 1e-12:
        return [0.0] * n, [0.0] * n
    beta = [typical * min(value, 2 * typical) / s2 / possible for value in x]
    shares, ratios = [], []
    for k in range(n):
        rest = beta[:k] + beta[k + 1 :]
        common = median(rest)
        if common <= 0.25:
            shares.append(0.0)
            ratios.append(0.0)
            continue
        noise = typical**2 / s2 / possible**2 / common**2
        v = literal_variance([value / common for value in rest], 1.0 + noise)
        share = beta[k] / common
        far = [max(0.0, 1 + sign * max(share, -2.0)) ** 2 for sign in (-1, 1)]
        along, against = (math.log(1 + each / (n * v)) for each in far)
        shares.append(share)
        ratios.append((n + 1) / 2 * (along - against))
    return shares, ratios


def literal_variance(values: list[float], prior: float) -> float:
    """Estimate a variance robustly, shrunk to the prior."""
    n = len(values)
    h = min(math.ceil(n / 2) + 1, n)
    away = sorted(abs(value - median(values)) for value in values)[h - 1]
    deviation = away / NormalDist().inv_cdf(0.5 + (h - 0.5) / n / 2)
    return (2 * prior + n * deviation**2) / (2 + n)


@given(seed=seeds, clients=st.integers(3, 9), mean=st.floats(-0.1, 0.8))
def test_a_part_of_one_channel_equals_the_definition(seed, clients, mean):
    """Shares and ratios of biases and scales."""
    along = drawn(seed, clients, mean)["vectors"]
    found = weighed({"vectors": along})["vectors"]
    shares, ratios = literal_part(along.tolist())
    assert found.share.tolist() == pytest.approx(shares, rel=1e-5, abs=1e-7)
    assert found.log_ratio.tolist() == pytest.approx(ratios, rel=1e-5, abs=1e-7)


def test_a_reversed_client_of_ten_like_clients_is_accused():
    """Of all of them it alone, a hundred times more likely than not."""
    found = weighed(going(*[0.5] * 9, -0.5))["whole"]
    assert found.log_ratio[9] > math.log(100)
    assert (found.log_ratio[:9] < 0).all()
    assert found.share[9].item() == pytest.approx(-1, abs=0.05)


@pytest.mark.parametrize("way", PARTS)
def test_who_turns_one_part_only_is_most_suspect_there(way):
    """Other parts do not suffer for it."""
    channels = going(*[0.5] * 20)
    for name in WAYS[way]:
        channels[name] = torch.tensor([0.5] * 19 + [-0.5]).double()
    found = weighed(channels)
    assert found[way].log_ratio[19] > 0
    assert all(found[other].log_ratio[19] < 0 for other in PARTS if other != way)


def test_of_four_who_disagree_hardly_anybody_is_accused():
    """Four directions without anything in common tell nothing but by chance."""
    found = [weighed(drawn(seed, 4, 0.0)).values() for seed in range(200)]
    ratios = torch.cat([each.log_ratio for ways in found for each in ways])
    assert (ratios > math.log(100)).double().mean() <= 0.01


@given(seed=seeds)
def test_where_nothing_is_common_nothing_is_known(seed):
    """Shares and ratios are zero."""
    for each in weighed(drawn(seed, 7, -2.0)).values():
        assert not each.share.any()
        assert not each.log_ratio.any()


@given(seed=seeds, order=st.permutations(range(6)))
def test_follows_the_order_of_clients(seed, order):
    """Permuting the clients permutes what is found."""
    channels = drawn(seed, 6)
    permuted = weighed({name: along[order] for name, along in channels.items()})
    for way, each in weighed(channels).items():
        expected = each.log_ratio[order].tolist()
        assert permuted[way].log_ratio.tolist() == pytest.approx(expected, abs=1e-9)


def test_channels_that_disagree_tell_less():
    """Who goes against in some and along in others is less surely against."""
    channels = going(*[0.5] * 9, -0.5)
    mixed = {**channels, "momentum": torch.tensor([0.5] * 10).double()}
    turned = weighed(channels)["whole"].log_ratio[9]
    assert weighed(mixed)["whole"].log_ratio[9] < turned
