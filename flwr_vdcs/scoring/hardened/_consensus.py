"""Similarities to consensus: the majority that agrees most, and who agrees with it."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

SAME = 1e-4
"""Two updates are copies if they differ by less than this share of what others do.

Rounding makes a hundredth of that. Honest clients who hold images of one and the same
class differ by ten times that and more.
"""

MAX_STEPS = 20


def find_copies(
    similarity: Float[Tensor, "clients clients"],
) -> Bool[Tensor, "clients clients"]:
    """Tell who is a copy of whom; everybody is one of itself.

    Honest clients with data of their own differ from each other, colluders who send the
    same do not. Two differ by half the squared distance of what is compared, as layers
    that did not move are not similar to themselves either. What is typical is a median
    of medians, since fewer than half of the clients take part in most of the pairs.
    """
    others = ~torch.eye(len(similarity), dtype=torch.bool)
    own = similarity.diagonal()
    difference = ((own[:, None] + own) / 2 - similarity).clamp_min(0)
    by_client = difference[others].view(len(own), -1).median(dim=1).values
    return (difference < SAME * by_client.median()) | ~others


def find_consensus(
    similarity: Float[Tensor, "clients clients"], candidates: Bool[Tensor, " clients"]
) -> Bool[Tensor, " clients"]:
    """Find the majority of the candidates whose members are most similar.

    Starting from each candidate and those most similar to it, members are exchanged for
    those more similar to all members until nothing changes; the best end counts. This
    is how least trimmed squares is computed (Rousseeuw and Van Driessen, 2006).

    Parameters
    ----------
    similarity : Tensor
        K x K, symmetric.
    candidates : Tensor
        Who may be a member.

    Returns
    -------
    Tensor
        Who is: more than half of the candidates.
    """
    size = int(candidates.sum()) // 2 + 1
    pairs = similarity.clone().fill_diagonal_(0)
    members = _largest(similarity[candidates], candidates, size)
    for _ in range(MAX_STEPS):
        closeness = members @ pairs / (size - members).clamp_min(1)
        exchanged = _largest(closeness, candidates, size)
        if torch.equal(exchanged, members):
            break
        members = exchanged
    totals = ((members @ pairs) * members).sum(1)
    return members[totals.argmax()].bool()


def agreement_with(
    members: Bool[Tensor, " clients"],
    similarity: Float[Tensor, "clients clients"],
    copies: Bool[Tensor, "clients clients"],
) -> Float[Tensor, " clients"]:
    """Average everybody's similarity to the members, leaving out its own copies."""
    peers = (members & ~copies).to(similarity.dtype)
    return (peers * similarity).sum(1) / peers.sum(1).clamp_min(1)


def _largest(
    values: Float[Tensor, "starts clients"],
    candidates: Bool[Tensor, " clients"],
    size: int,
) -> Float[Tensor, "starts clients"]:
    chosen = values.masked_fill(~candidates, -torch.inf).topk(size, dim=1).indices
    return torch.zeros_like(values).scatter(1, chosen, 1.0)
