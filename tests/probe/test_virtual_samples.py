"""Seed to virtual samples: standard normal, reproducible, secret by default."""

import pytest
import torch

from flwr_vdcs.errors import InvalidArgumentError
from flwr_vdcs.probe.virtual_samples import MAX_SEED, draw_samples, gaussian, round_seed


def test_samples_are_standard_normal():
    """Mean 0 and variance 1 within five standard errors."""
    samples = draw_samples(gaussian((10, 100)), 3, 100, (10, 100))
    assert samples.shape == (100, 10, 100)
    assert abs(samples.mean()) < 5 / 100_000**0.5
    assert abs(samples.var() - 1) < 5 * (2 / 100_000) ** 0.5


def test_same_seed_same_samples():
    """The seed decides, not the global generator."""
    first = draw_samples(gaussian((4,)), 3, 5, (4,))
    torch.rand(1)
    assert torch.equal(first, draw_samples(gaussian((4,)), 3, 5, (4,)))
    assert not torch.equal(first, draw_samples(gaussian((4,)), 4, 5, (4,)))


def test_without_a_seed_every_round_has_a_fresh_one():
    """Fifty secret seeds are all different and within range."""
    seeds = {round_seed(None, 1) for _ in range(50)}
    assert len(seeds) == 50
    assert all(0 <= seed < MAX_SEED for seed in seeds)


def test_with_a_seed_rounds_differ_and_repeat():
    """The round is added to the seed."""
    assert [round_seed(7, r) for r in (1, 2)] == [8, 9]


@pytest.mark.parametrize(
    "draw", [lambda _g, n: torch.zeros(n, 3), lambda _g, n: [[0.0] * 4] * n]
)
def test_samples_of_another_shape_are_an_error(draw):
    """A callable that gives something else is told what is wanted."""
    with pytest.raises(InvalidArgumentError, match=r"Tensor of shape \(5, 4\), not"):
        draw_samples(draw, 0, 5, (4,))
