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
    "update": 4.0,
    "weights": 4.0,
    "vectors": 5.0,
    "head": 4.0,
    "running statistics": 20.0,
    "effect": 3.5,
}
"""By what factor an honest client's sizes may be away from the median's."""

WEIGHTS: Mapping[str, float] = {"peers": 1.0, "head": 16.0, "momentum": 32.0}
"""How much each kind of agreement counts.

In a linear discriminant it is the reciprocal of the variance. Honest clients who hold
other classes than most are unlike their peers, but all of them make the head surer of
what it knows and go on the way that the federation has come. Chosen on recorded rounds.
"""

LEAST_AGREEMENT = 0.05
"""Where the median client is less similar to its peers, outliers count for less."""

LOST_AGREEMENT = 1.25
"""What an honest client may lack: all of the median's agreement, and a quarter more."""

LOST_CONFIRMATION = 0.25
"""By how much less than the median's an honest update may confirm the head."""

COPY = 10.0
"""How suspicious a copy of an earlier update is."""

MAX_UPDATE = 2.0
"""A longer update is less trusted than it is long: it goes on at this length."""


class HardenedScoring:
    r"""Score an update by the place where it is most suspicious.

    With :math:`t_p` the tolerance of the size :math:`\sigma_p`, :math:`c_k` the mean
    cosine of the deltas over the layers and the members of the consensus, :math:`h_k`
    the cosine of the head's delta with the head, :math:`m_k` that of the delta with
    the global model's momentum, and tildes for medians over the clients, in the
    agreement :math:`a_k` with negative ones put to zero,

    .. math::

        a_k = \frac{\tilde c\,c_k + 16\,\tilde h\,h_k + 32\,\tilde m\,m_k}
        {\max(\tilde c^2 + 16\,\tilde h^2 + 32\,\tilde m^2,\; 0.05^2)}, \qquad
        s_k = -\max\Bigl(
        \max_p \frac{|\ln \sigma_{p,k} - \ln \tilde\sigma_p|}{\ln t_p},\;
        \frac{\tilde a - a_k}{1.25},\; \frac{\tilde h - h_k}{0.25}\Bigr)

    the last only where :math:`\tilde h > 0`, and -10 for all copies of an update but
    the first. The median client's agreement is
    about 1, that of its reversed update -1. A score below -1 is beyond what honest
    clients differ by.

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
    ban_threshold = -2.5
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
    kinds = {
        "peers": agreement_with(members, similarity, copies),
        "head": features["with_head"],
        "momentum": features["with_momentum"],
    }
    typical = {k: v[is_first].quantile(0.5).clamp_min(0) for k, v in kinds.items()}
    agreement = _agreement(kinds, typical)
    lost = agreement[is_first].quantile(0.5) - agreement
    undone = typical["head"] - kinds["head"]
    return {
        **by_size,
        "direction": lost.clamp_min(0) / LOST_AGREEMENT,
        "unlearning": torch.where(
            typical["head"] > 0, undone.clamp_min(0) / LOST_CONFIRMATION, 0.0
        ),
        "copy": torch.where(is_first, 0.0, COPY),
    }


def _agreement(
    kinds: Mapping[str, Float[Tensor, " clients"]],
    typical: Mapping[str, Float[Tensor, ""]],
) -> Float[Tensor, " clients"]:
    """Tell how far everybody goes with the median client, which is at about 1.

    This is the linear discriminant between an update and its reverse. What honest
    clients do not have in common, as with a head that has learned nothing, does not
    count.
    """
    along = [WEIGHTS[kind] * typical[kind] * kinds[kind] for kind in kinds]
    squares = [WEIGHTS[kind] * typical[kind] ** 2 for kind in kinds]
    whole = torch.stack(squares).sum().clamp_min(LEAST_AGREEMENT**2)
    agreement: Tensor = torch.stack(along).sum(0) / whole
    return agreement


def _distances(sizes: Float[Tensor, "clients places"]) -> Tensor:
    """Compare with the median client, in natural logarithms."""
    return sizes - sizes.quantile(0.5, dim=0)


def _reason(place: str, factors: Float[Tensor, " places"]) -> str:
    if place == "copy":
        return "a copy of another update"
    if place == "direction":
        return "it goes another way than the others"
    if place == "unlearning":
        return "it undoes what the head has learned"
    factor = factors[SIZES.index(place)].item()
    return f"its {place} has {factor:.3g} times the median size"
