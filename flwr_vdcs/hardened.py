r"""Hardened scoring: judge size, direction and effect, each by its own measure.

The published score looks at one thing, the direction of features. What a malicious
client does shows in different places: boosts and noise in the size of the update or of
a part of it, reversed and mislabelled training in its direction, poisoned statistics in
the model's answers. Each place has a tolerance, how far honest clients are apart there;
an update is as suspicious as it is in the place where it is most so.
"""

from collections.abc import Mapping
from math import log

import torch
from jaxtyping import Float
from torch import Tensor

from flwr_vdcs.arrays import State
from flwr_vdcs.consensus import agreement_with, find_consensus, find_copies
from flwr_vdcs.evidence import SIZES, evidence
from flwr_vdcs.features import Probe

TOLERANCES: Mapping[str, float] = {
    "update": 2.0,
    "weights": 4.0,
    "vectors": 5.0,
    "head": 4.0,
    "running statistics": 20.0,
    "effect": 3.5,
}
"""By what factor an honest client's sizes may be away from the median's."""

WEIGHT_OF_PEERS = 0.5
"""How much similarity to peers counts beside agreement with the head."""

LEAST_AGREEMENT = 0.1
"""Where the median client agrees less than this, outliers count only for so much."""

LOST_AGREEMENT = 0.85
"""Share of the median client's agreement that an honest client may lack."""

UNLEARNED = 0.3
"""How far an honest client's agreement with the head may be below the median's."""

COPY = 10.0
"""How suspicious a copy of an earlier update is."""

MAX_UPDATE = TOLERANCES["update"]


class HardenedScoring:
    r"""Score an update by the place where it is most suspicious.

    With :math:`t_p` the tolerance of the size :math:`\sigma_p`, :math:`h_k` the cosine
    of the head's delta with the head, :math:`a_k` half the mean cosine of the deltas
    over the layers and the members of the consensus, plus :math:`h_k` where its median
    is positive, and tildes for medians over the clients,

    .. math::

        s_k = -\max\Bigl(
        \max_p \frac{|\ln \sigma_{p,k} - \ln \tilde\sigma_p|}{\ln t_p},\;
        \frac{\tilde a - a_k}{0.85 \max(\tilde a, 0.1)},\;
        \frac{\tilde h - h_k}{0.3}\Bigr)

    and -10 for all copies of an update but the first. A score below -1 is beyond what
    honest clients differ by.

    Attributes
    ----------
    threshold : float
        With ``num_malicious="auto"`` lower scores are dropped.
    ban_threshold : float
        Only drops with a lower score count towards a ban.
    max_update : float
        A kept update that is longer than this multiple of the median is shortened.
    """

    name = "hardened"
    threshold = -1.0
    ban_threshold = -2.0
    max_update = MAX_UPDATE

    def features(
        self, probe: Probe, global_state: State, update: State
    ) -> dict[str, Tensor]:
        """Gather the evidence of one update."""
        return evidence(probe, global_state, update)

    def scores(self, features: Mapping[str, Tensor]) -> Float[Tensor, " clients"]:
        """Take the strongest suspicion against each client, as a negative number."""
        return -torch.stack(list(_suspicions(features).values())).amax(0)

    def reasons(self, features: Mapping[str, Tensor]) -> list[str]:
        """Say where each client is most suspicious."""
        suspicions = _suspicions(features)
        places = torch.stack(list(suspicions.values())).argmax(0)
        factors = _distances(features["sizes"]).exp()
        return [
            _reason(list(suspicions)[place], factors[client])
            for client, place in enumerate(places.tolist())
        ]


def _suspicions(
    features: Mapping[str, Tensor],
) -> dict[str, Float[Tensor, " clients"]]:
    """Measure every client in every place, in tolerances."""
    distances = _distances(features["sizes"]).abs()
    by_size = {
        name: distances[:, place] / log(TOLERANCES[name])
        for place, name in enumerate(SIZES)
    }
    direction = features["direction"].double()
    similarity = direction @ direction.T
    copies = find_copies(similarity)
    is_first = ~copies.tril(diagonal=-1).any(1)
    members = find_consensus(similarity, is_first)
    with_head = features["agreement"]
    typical_head = with_head[is_first].quantile(0.5)
    agreement = WEIGHT_OF_PEERS * agreement_with(members, similarity, copies)
    if typical_head > 0:  # before the head has learned, honest training turns it round
        agreement = agreement + with_head
    typical = agreement[is_first].quantile(0.5)
    lost = (typical - agreement) / typical.clamp_min(LEAST_AGREEMENT)
    return {
        **by_size,
        "direction": lost.clamp_min(0) / LOST_AGREEMENT,
        "unlearning": (typical_head - with_head).clamp_min(0) / UNLEARNED,
        "copy": torch.where(is_first, 0.0, COPY),
    }


def _distances(sizes: Float[Tensor, "clients places"]) -> Tensor:
    """Compare with the median client, in natural logarithms."""
    return sizes - sizes.quantile(0.5, dim=0)


def _reason(place: str, factors: Float[Tensor, " places"]) -> str:
    if place == "copy":
        return "a copy of another update"
    if place == "direction":
        return "it goes another way than the others"
    if place == "unlearning":
        return "it undoes what the model has learned"
    factor = factors[SIZES.index(place)].item()
    return f"its {place} has {factor:.3g} times the median size"
