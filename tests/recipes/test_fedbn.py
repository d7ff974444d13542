"""FedBN: each site keeps its batch normalisation (Li et al., 2021)."""

import torch

from tests.recipes.networks import INPUT_SHAPE, Network, put, without
from tests.recipes.sites import (
    assert_only_the_attacker_is_stopped,
    assert_the_model_goes_with_the_honest,
    play,
)


def test_two_rounds():
    """All else is averaged; batch normalisation neither travels nor is averaged."""
    played = play(Network, without("norm"), put, input_shape=INPUT_SHAPE)
    assert_only_the_attacker_is_stopped(played)
    assert_the_model_goes_with_the_honest(played)
    assert not any(key.startswith("norm") for key in played.arrays)
    means = torch.stack([site.model.norm.running_mean for site in played.honest()])
    assert len(means.unique(dim=0)) == len(means)
