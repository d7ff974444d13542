r"""Agreement to sums over the rounds: how far a client has gone along, and could have.

With :math:`x_k` how far client k goes in a channel, :math:`\mu` the median of all
clients, zero if it is negative, and :math:`s^2` their variance over the rounds, the
terms of a round are

.. math::

    g_k = \mu \min(x_k, 2\mu) / s^2, \qquad
    p = \mu^2 / s^2 - \pi / (2 K), \qquad
    q = \mu^2 / s^2.

:math:`\pi s^2 / (2K)` is the variance of a median: so much of :math:`\mu^2` is chance.
The ratio of the sums of g and p is a regression of a client's agreement on what clients
have in common, corrected for errors in it. Rounds in which they have nothing in common
count for nothing, and do not wash out those before. Nobody gains more in a round than
twice what the median client does.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from flwr_vdcs.scoring.hardened._agreement import CHANNELS
from flwr_vdcs.scoring.hardened._likelihood import (
    MAX_RATIO,
    estimate_variance,
    median,
)

FORGETTING = 0.9
"""What is left of a round when the client is scored next: about ten rounds count."""

PRIOR_SPREAD = 0.15
"""Standard deviation that is assumed of how far honest clients go along."""

ROUNDS = "rounds"
KINDS = ("gained", "possible", "seen", "spread")

REMEMBERED = (*(f"{name} {kind}" for name in CHANNELS for kind in KINDS), ROUNDS)
"""Names of the sums, by which they are remembered of each client."""

Clients = Float[Tensor, " clients"]
Channels = Float[Tensor, "channels clients"]


@dataclass(frozen=True)
class Sums:
    """The terms of all rounds by channel, with exponential forgetting.

    Attributes
    ----------
    gained, possible
        How far each client has gone along, and how far the median one has.
    seen
        The variance of ``gained`` if rounds are independent.
    spread
        Of the clients' variance in each round.
    rounds
        How many rounds that is.
    """

    gained: Channels
    possible: Channels
    seen: Channels
    spread: Channels
    rounds: Clients

    def remembered(self) -> dict[str, Clients]:
        """Give them by the names in `REMEMBERED`."""
        found = {
            f"{name} {kind}": getattr(self, kind)[place]
            for place, name in enumerate(CHANNELS)
            for kind in KINDS
        }
        return {**found, ROUNDS: self.rounds}


def add_round(
    channels: Mapping[str, Clients],
    is_peer: Bool[Tensor, " clients"],
    features: Mapping[str, Tensor],
) -> Sums:
    """Add a round to what is remembered of each client.

    Parameters
    ----------
    channels
        By channel how far each client goes along in this round.
    is_peer
        Who counts in what is typical.
    features
        With what is remembered, by the names in `REMEMBERED`; zeros if it is missing.
    """
    past = recall(features, torch.zeros(len(is_peer), dtype=torch.float64))
    along = torch.stack(
        [channels.get(n, torch.zeros_like(past.rounds)) for n in CHANNELS]
    )
    exists = torch.tensor([[name in channels] for name in CHANNELS])
    peers = along[:, is_peer]
    rounds = FORGETTING * past.rounds + 1
    once = estimate_variance(peers, PRIOR_SPREAD**2)[:, None]
    spread = FORGETTING * past.spread + once * exists
    variance = torch.where(exists, spread / rounds, 1.0)
    typical = median(peers).clamp_min(0)[:, None]
    seen = typical.square() / variance
    chance = math.pi / 2 / peers.shape[1] * (typical > 0)
    gained = typical * along.minimum(MAX_RATIO * typical) / variance
    return Sums(
        gained=FORGETTING * past.gained + gained,
        possible=FORGETTING * past.possible + seen - chance,
        seen=FORGETTING**2 * past.seen + seen,
        spread=spread,
        rounds=rounds,
    )


def recall(features: Mapping[str, Tensor], nothing: Clients) -> Sums:
    """Read what is remembered of each client."""

    def column(kind: str) -> Channels:
        names = [f"{name} {kind}" for name in CHANNELS]
        return torch.stack([features.get(name, nothing) for name in names])

    gained, possible, seen, spread = map(column, KINDS)
    return Sums(gained, possible, seen, spread, features.get(ROUNDS, nothing))
