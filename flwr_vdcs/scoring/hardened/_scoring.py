"""Evidence to scores: the strongest suspicion against each client."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from flwr_vdcs.admission import State
from flwr_vdcs.probe import RoundContext
from flwr_vdcs.scoring.base import Judgement, Scoring
from flwr_vdcs.scoring.hardened._agreement import Agreement, find_agreement
from flwr_vdcs.scoring.hardened._consensus import (
    agreement_with,
    find_consensus,
    find_copies,
)
from flwr_vdcs.scoring.hardened._evidence import SIZES, evidence
from flwr_vdcs.scoring.hardened._sizes import (
    Sizes,
    as_usual,
    distances,
    tolerated,
    usual_length,
)
from flwr_vdcs.scoring.hardened._suspicion import with_reserve

LOST_AGREEMENT = 1.25
"""What an honest client may lack: all of the median's agreement, and a quarter more."""

LOST_AT_ONCE = 1.75
"""What it may lack in a single round, whatever it did in those before."""

LOST_LESSON = 1.0
"""Of what the median client teaches the head an honest one may lack all."""

LEAST_CLIENTS = 5
"""How much fewer differ in what they teach the head is not to be told."""

UNDONE_AT_ONCE = 0.25
"""By how much less than the median an honest update may confirm the head."""

EXAGGERATED_AT_ONCE = 0.5
"""By how much more it may."""

MISSED = 0.1
"""By how much less or more it may in the average over many rounds."""

ORDINARY = 4.0
"""So many standard deviations away a client is like the others, however far that is.

A head of two or three classes has few directions: once it is trained, honest updates
confirm or undo it by chance.
"""

COPY = 2.4
"""How suspicious a copy of an earlier update is.

Not enough for a ban: a malicious client may copy an honest one's and be faster.
"""

NORMAL = 1.4826
"""A normal distribution's standard deviation, in median distances from its median."""

MAX_UPDATE = 2.0
"""A longer update is less trusted than it is long: it goes on at this length."""

REASONS: Mapping[str, str] = {
    "copy": "a copy of another update",
    "direction": "it goes another way than the others",
    "turn": "in this round it goes another way than the others",
    "contradiction": "its updates teach the head otherwise than the others do",
    "unlearning": "its updates undo what the head has learned",
    "exaggeration": "its updates confirm the head as training does not",
    "forgetting": "in this round it undoes what the head has learned",
}
"""What is said of a client that is most suspicious there."""


class HardenedScoring(Scoring):
    r"""Score an update by the place where it is most suspicious.

    With :math:`t_p` the tolerance of the size :math:`\sigma_p`, :math:`c_k` the mean
    cosine of the deltas over the layers and the members of the consensus, :math:`h_k`
    the cosine of the head's delta with the head, :math:`m_k` that of the delta with
    the global model's momentum, and tildes for medians over the clients, in the
    cosines with negative ones put to zero, :math:`q(x)` for 4 standard deviations of
    all :math:`x_j`, estimated by their median distance from their median, and
    :math:`w = 16 / \max(1, q(h) / 0.8)^2`, what a client agrees with in a round is

    .. math::

        n_k = \tilde c\,c_k + w\,\tilde h\,h_k + 32\,\tilde m\,m_k, \qquad
        d = \tilde c^2 + w\,\tilde h^2 + 32\,\tilde m^2

    and over the rounds :math:`N_k`, :math:`D_k`, :math:`R_k`, :math:`H_k R_k` and
    :math:`G_k R_k`, the sums of :math:`n_k`, :math:`d`, 1, :math:`h_k` and
    :math:`h_k` less the median of all :math:`h_j`, with 0.8 to the power of the
    client's rounds since, :math:`N_k` of earlier rounds within :math:`\pm D_k`.
    :math:`T_k` and :math:`L_k` are such sums as :math:`N_k` and :math:`D_k`, of

    .. math::

        \max\Bigl(\frac{\tilde g\,g_k}{v},\, -\frac{\tilde g^2}{v}\Bigr), \quad
        \frac{\tilde g^2}{v}, \qquad
        v = \max\Bigl(\frac{q(g)}{4},\, \frac{\tilde g}{4}\Bigr)^2

    in which :math:`g_k` is the mean cosine of the head's delta with those of the
    consensus, zero for fewer than five clients. With the shares
    :math:`a_k = n_k / \max(d, 0.05^2)`, :math:`A_k = N_k / \max(D_k, 0.05^2)` and
    :math:`B_k = T_k / \max(L_k, 8)`, and :math:`e_{p,k}` what is left of
    :math:`\ln \sigma_{p,k} - \ln \tilde\sigma_p` by
    `flwr_vdcs.scoring.hardened._sizes.as_usual`, the score is the following, but that
    the terms of the effect and of :math:`B_k` count in their fourth power below 1, and
    that medians there have their signs:

    .. math::

        \begin{aligned}
        s_k = -\max\Bigl( &
        \max_p \frac{|e_{p,k}|}{\ln t_p},\;
        \frac{\tilde A - A_k}{1.25},\; \frac{\tilde a - a_k}{1.75},\;
        \frac{\tilde B - B_k}{\max(1,\, q(B))},\;
        \frac{\tilde h - h_k}{\max(1.25 \tilde h,\, 0.25,\, q(h))}, \\
        & \frac{\tilde G - G_k}{\max(1.25 \tilde H,\, 0.1 + 0.15 / R_k,\, q(G))},\;
        \frac{G_k - \tilde G}{\max(1.25 \tilde H,\, 0.1 + 0.4 / R_k,\, q(G))}\Bigr)
        \end{aligned}

    and -2.4 for all copies of an update but the first. The median client's share is
    about 1, that of its reversed update -1. A score below -1 is beyond what honest
    clients differ by.

    Attributes
    ----------
    threshold : float
        With ``num_malicious="auto"`` lower scores are dropped.
    ban_threshold : float
        Only drops with a lower score count towards a ban.
    max_update : float
        A kept update that is longer than this multiple of the median one is clipped.
    remembered : tuple of str
        The sums over the rounds, and how long an update was when all its sizes were
        last like the others'.
    """

    name = "hardened"
    threshold = -1.0
    ban_threshold = -2.5
    max_update = MAX_UPDATE
    needs_sensitivity = False
    remembered = (*Agreement.__annotations__, "length")

    def features(
        self, context: RoundContext, global_state: State, update: State
    ) -> dict[str, Tensor]:
        """Gather the evidence of one update."""
        return evidence(context, global_state, update)

    def scores(self, features: Mapping[str, Tensor]) -> Float[Tensor, " clients"]:
        """Take the strongest suspicion against each client, as a negative number."""
        return self.judge(features).scores

    def judge(self, features: Mapping[str, Tensor]) -> Judgement:
        """Score each client, and say where it is most suspicious."""
        peers = _peers(
            features["direction"].double(), features["head_direction"].double()
        )
        now = _agreement(features, peers)
        nothing = torch.zeros_like(now.along)
        past = {name: features.get(name, nothing) for name in self.remembered}
        length = past.pop("length")
        over_rounds = now.after(Agreement(**past))
        sizes, away = features["sizes"], distances(features["sizes"])
        suspicions = {
            **_by_size(as_usual(away, sizes, length, over_rounds.share)),
            "direction": _lacking(over_rounds.share, peers) / LOST_AGREEMENT,
            "turn": _lacking(now.share, peers) / LOST_AT_ONCE,
            "contradiction": _contradicting(over_rounds.teaching, peers),
            **_by_confirmation(over_rounds, peers),
            "forgetting": _forgetting(now, peers),
            "copy": torch.where(peers.is_first, 0.0, COPY),
        }
        strongest = torch.stack(list(suspicions.values())).max(0)
        places = [list(suspicions)[place] for place in strongest.indices.tolist()]
        return Judgement(
            -strongest.values,
            list(map(_reason, places, away.exp())),
            {**vars(over_rounds), "length": usual_length(sizes, length)},
            features.get("norm"),
        )


@dataclass(frozen=True)
class Peers:
    """How similar each client is to the others, and which is no copy of an earlier.

    Attributes
    ----------
    similarity
        Of the whole updates, to those of the consensus.
    lesson
        Of what they teach the head; zero for fewer than `LEAST_CLIENTS`.
    is_first
        Whether it is no copy.
    """

    similarity: Float[Tensor, " clients"]
    lesson: Float[Tensor, " clients"]
    is_first: Bool[Tensor, " clients"]


def _peers(
    direction: Float[Tensor, "clients coordinates"],
    lesson: Float[Tensor, "clients inputs"],
) -> Peers:
    similarity = direction @ direction.T
    copies = find_copies(similarity)
    is_first = ~copies.tril(diagonal=-1).any(1)
    members = find_consensus(similarity, is_first)
    taught = agreement_with(members, lesson @ lesson.T, copies)
    return Peers(
        agreement_with(members, similarity, copies),
        taught * (is_first.sum() >= LEAST_CLIENTS),
        is_first,
    )


def _agreement(features: Mapping[str, Tensor], peers: Peers) -> Agreement:
    kinds = {
        "peers": peers.similarity,
        "head": features["with_head"],
        "momentum": features["with_momentum"],
        "lesson": peers.lesson,
    }
    typical = {
        kind: _median(cosines, peers.is_first) for kind, cosines in kinds.items()
    }
    spread = {kind: _spread(cosines, peers) for kind, cosines in kinds.items()}
    return find_agreement(kinds, typical, spread)


def _by_size(away: Sizes) -> dict[str, Float[Tensor, " clients"]]:
    return dict(zip(SIZES, tolerated(away).T, strict=True))


def _lacking(values: Float[Tensor, " clients"], peers: Peers) -> Tensor:
    """Measure what each client lacks of what the median one has."""
    return (_median(values, peers.is_first) - values).clamp_min(0)


def _contradicting(teaching: Float[Tensor, " clients"], peers: Peers) -> Tensor:
    """Measure how much less than the median client each teaches what the others do."""
    allowed = (ORDINARY * _spread(teaching, peers)).clamp_min(LOST_LESSON)
    return with_reserve(_lacking(teaching, peers) / allowed)


def _by_confirmation(
    over_rounds: Agreement, peers: Peers
) -> dict[str, Float[Tensor, " clients"]]:
    """Measure how much less or more than the median client's updates confirm the head.

    The average of many rounds is more exact than one of them.
    """
    surplus = over_rounds.surplus
    ordinary = _ordinary(over_rounds.confirmation, surplus, peers)

    def allowed(at_once: float) -> Tensor:
        least = MISSED + (at_once - MISSED) / over_rounds.rounds
        return least.maximum(ordinary)

    return {
        "unlearning": _lacking(surplus, peers) / allowed(UNDONE_AT_ONCE),
        "exaggeration": _lacking(-surplus, peers) / allowed(EXAGGERATED_AT_ONCE),
    }


def _forgetting(now: Agreement, peers: Peers) -> Float[Tensor, " clients"]:
    """Measure how much less than the median client's this update confirms the head."""
    confirmed = now.confirmation
    allowed = _ordinary(confirmed, confirmed, peers).clamp_min(UNDONE_AT_ONCE)
    return _lacking(confirmed, peers) / allowed


def _ordinary(
    confirmation: Float[Tensor, " clients"],
    values: Float[Tensor, " clients"],
    peers: Peers,
) -> Tensor:
    """Let honest clients confirm the head not at all, or as differently as they do."""
    typical = _median(confirmation, peers.is_first)
    return (LOST_AGREEMENT * typical).maximum(ORDINARY * _spread(values, peers))


def _spread(values: Float[Tensor, " clients"], peers: Peers) -> Tensor:
    """Estimate the standard deviation of honest clients from the median distance."""
    away = (values - _median(values, peers.is_first)).abs()
    return NORMAL * _median(away, peers.is_first)


def _median(
    values: Float[Tensor, " clients"], is_first: Bool[Tensor, " clients"]
) -> Tensor:
    """Take the median over those who are no copies."""
    return values[is_first].quantile(0.5)


def _reason(place: str, factors: Float[Tensor, " places"]) -> str:
    if place in REASONS:
        return REASONS[place]
    factor = factors[SIZES.index(place)].item()
    return f"its {place} has {factor:.3g} times the median size"
