"""Evidence to distances: how far a client's sizes are from the median client's.

Honest clients do not finish at the same time. One that still sends what it sent when it
was like the others is long only because they have become short. It is judged as if its
update were as long as the median one.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from flwr_vdcs.scoring.hardened._evidence import SIZES
from flwr_vdcs.scoring.hardened._suspicion import with_reserve

TOLERANCES: Mapping[str, float] = {
    "update": 4.0,
    "weights": 4.0,
    "vectors": 5.0,
    "head": 4.0,
    "running statistics": 20.0,
    "buffers": 5.0,
    "effect": 3.5,
}
"""By what factor an honest client's sizes may be away from the median's."""

UPDATE, EFFECT = SIZES.index("update"), SIZES.index("effect")
NOT_TRAINED = [SIZES.index(place) for place in ("running statistics", "buffers")]

Sizes = Float[Tensor, "clients places"]
Clients = Float[Tensor, " clients"]


def distances(sizes: Sizes) -> Sizes:
    """Compare with the median client, in natural logarithms."""
    return sizes - sizes.quantile(0.5, dim=0)


def tolerated(away: Sizes) -> Sizes:
    """Measure distances in their tolerances, in both directions.

    The effect of honest updates differs most, so within its tolerance it says little.
    """
    factors = away.new_tensor([TOLERANCES[name] for name in SIZES])
    shares = away.abs() / factors.log()
    shares[:, EFFECT] = with_reserve(shares[:, EFFECT])
    return shares


def usual_length(sizes: Sizes, past: Clients) -> Clients:
    """Note how long an update was when all its sizes were last like the others'.

    Parameters
    ----------
    sizes
        Natural logarithms, in the order of `SIZES`.
    past
        What was noted before; zero for clients of whom nothing is.
    """
    is_like_others = (tolerated(distances(sizes)) <= 1).all(1)
    return torch.where(is_like_others, sizes[:, UPDATE].exp(), past)


def as_usual(away: Sizes, sizes: Sizes, past: Clients, share: Clients) -> Sizes:
    r"""Let a client be as much longer than the median one as its usual length is.

    With :math:`\ell_k` the length that was noted, ``past``, of every distance above
    zero, those of running statistics and buffers aside, as much as there is of

    .. math::

        \min\Bigl(\ln \frac{\sigma_{\text{update},k}}{\tilde\sigma_{\text{update}}},\;
        \ln \frac{\ell_k}{\tilde\sigma_{\text{update}}}\Bigr)

    is taken off, if that is positive. So a part gains nothing unless the whole update
    is long. Nor does a client that goes against the others: its ``share`` (see
    `flwr_vdcs.scoring.hardened._agreement.Agreement`) is not above zero. What it holds
    is never learned, so it would be long for ever.
    """
    excess = away[:, UPDATE].clamp_min(0)
    median = sizes[:, UPDATE] - away[:, UPDATE]
    still = (past.log() - median).clamp_min(0).minimum(excess) * (share > 0)
    shorter = away.minimum((away - still[:, None]).clamp_min(0))
    shorter[:, NOT_TRAINED] = away[:, NOT_TRAINED]
    return shorter
