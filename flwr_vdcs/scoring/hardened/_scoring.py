"""Hardened scoring: the weight of the evidence that a client does harm."""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from flwr_vdcs.admission import State
from flwr_vdcs.probe import RoundContext
from flwr_vdcs.scoring.base import Judgement, Scoring
from flwr_vdcs.scoring.hardened._agreement import compare
from flwr_vdcs.scoring.hardened._evidence import evidence
from flwr_vdcs.scoring.hardened._opposition import Opposition, find_opposition
from flwr_vdcs.scoring.hardened._reasons import (
    CONTRADICTORY,
    COPY,
    GROSS,
    UNDECIDABLE,
    reason,
)
from flwr_vdcs.scoring.hardened._sizes import (
    Sizes,
    find_gross,
    measure,
    unclipped_shares,
    usual_length,
)
from flwr_vdcs.scoring.hardened._sums import FORGETTING, REMEMBERED, add_round

FALSE_ALARMS = 0.01
"""A client is dropped if harm is so many times less likely than not, or more."""

LIMIT = math.log(1 / FALSE_ALARMS)

SUSPECT = 0.5
"""From this share of the evidence that drops, a client counts as a suspect."""

COPIED = 1.2
"""How suspicious a copy is: an honest client may have been copied and answer later."""

LENGTH = "length"

Clients = Float[Tensor, " clients"]


class HardenedScoring(Scoring):
    r"""Score an update by the evidence that it does harm.

    Two explanations of what a client sends are weighed against that it is honest: that
    it works against the others, in all or in one part of the model, and that it is
    grossly long. The score is the largest log-likelihood ratio
    :math:`\Lambda` of these, as

    .. math:: s_k = -\max_j \Lambda_{jk} / \ln(1 / \alpha), \qquad \alpha = 0.01.

    So a score below -1 means that harm is a hundred times more likely than not. How far
    honest clients differ is estimated from the other clients, and the fewer these are
    the less is decided. A copy of an earlier client's update has a score of at most
    -1.2. A short or empty update is no evidence of harm.

    If more clients are suspects than can be attackers, fewer than half, then honest
    ones contradict each other, and nobody is accused of working against the others. The
    report says so, and says where nobody could be accused at all.

    Whatever the score, each array of a kept update is clipped to twice the norm that
    the other clients' updates, and the claimed numbers of examples, lead to expect. If
    the others have become short since the client was last less than twice as long as
    expected, it may be as long as it was then.

    Attributes
    ----------
    threshold : float
        With ``num_malicious="auto"`` lower scores are dropped.
    ban_threshold : float
        Only drops with a lower score count towards a ban: those of clients that may
        have been copied do not.
    remembered : tuple of str
        Sums of the evidence over the rounds, with exponential forgetting.
    """

    name = "hardened"
    threshold = -1.0
    ban_threshold = -COPIED
    needs_sensitivity = False
    needs_num_examples = True
    remembered = (*REMEMBERED, LENGTH)

    def evidence(self, score: float) -> float:
        r"""Give the share of :math:`\Lambda` that is this round's.

        As what is known of a client fades by a tenth in each round, a tenth of it is
        new; added up over the rounds it is the evidence without forgetting.
        """
        return -score * LIMIT * (1 - FORGETTING)

    def features(
        self, context: RoundContext, global_state: State, update: State
    ) -> dict[str, Tensor]:
        """Gather the evidence of one update."""
        return evidence(context, global_state, update)

    def scores(self, features: Mapping[str, Tensor]) -> Clients:
        """Take the strongest evidence against each client, as a negative number."""
        return self.judge(features).scores

    def judge(self, features: Mapping[str, Tensor]) -> Judgement:
        """Score each client, say why, and how much of each array is to go on."""
        sizes = measure(features)
        channels, is_first = compare(features, sizes)
        sums = add_round(channels, is_first, features)
        num_classes = features["classes"][0].item()
        opposition = find_opposition(sums, is_first, num_classes)
        past = features.get(LENGTH, torch.zeros_like(sizes.length))
        ratios, note = _decidable(opposition, is_first)
        ratios[GROSS] = find_gross(sizes, past, is_first, num_classes)
        strongest = torch.stack(list(ratios.values())).max(0)
        suspicion = strongest.values / LIMIT
        places = [list(ratios)[place] for place in strongest.indices.tolist()]
        return Judgement(
            -torch.where(is_first, suspicion, suspicion.clamp_min(COPIED)),
            _reasons(places, is_first, opposition, sizes),
            {**sums.remembered(), LENGTH: usual_length(sizes, past)},
            shares=unclipped_shares(sizes, past),
            note=note,
        )


def _decidable(
    opposition: Mapping[str, Opposition], is_first: Bool[Tensor, " clients"]
) -> tuple[dict[str, Clients], str]:
    """Give the log-likelihood ratios, unless too many clients are suspects.

    If nobody can be accused, a sentence says why.
    """
    ratios = {way: each.log_ratio for way, each in opposition.items()}
    strongest = torch.stack(list(ratios.values())).amax(0)
    suspects = is_first & (strongest > SUSPECT * LIMIT)
    if suspects.sum() > (len(is_first) - 1) // 2:
        silent = {way: ratio.clamp_max(0.0) for way, ratio in ratios.items()}
        return silent, CONTRADICTORY
    most = max(each.most.max().item() for each in opposition.values())
    return ratios, UNDECIDABLE if most < LIMIT else ""


def _reasons(
    places: list[str],
    is_first: Bool[Tensor, " clients"],
    opposition: Mapping[str, Opposition],
    sizes: Sizes,
) -> list[str]:
    found = []
    for client, place in enumerate(places):
        share = opposition[place].share[client].item() if place in opposition else 0.0
        where = place if is_first[client] else COPY
        found.append(reason(where, share, sizes.excess[client].item()))
    return found
