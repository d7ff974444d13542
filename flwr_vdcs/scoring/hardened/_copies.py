"""Directions to copies: who sent what another one sent."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

SAME = 1e-4
"""Two updates are copies if they differ by less than this share of what others do.

Rounding makes a hundredth of that. Honest clients who hold images of one and the same
class differ by ten times that and more.
"""

ROUNDING = torch.finfo(torch.float32).eps
"""Updates that differ by less than this do so by rounding."""


def find_copies(
    similarity: Float[Tensor, "clients clients"],
) -> Bool[Tensor, "clients clients"]:
    """Tell who is a copy of whom; everybody is one of itself.

    Honest clients with data of their own differ from each other, colluders who send the
    same do not. Two differ by half the squared distance of what is compared, as layers
    that did not move are not similar to themselves either. What is typical is a median
    of medians, since fewer than half of the clients take part in most of the pairs.
    Where that is rounding, as most send the same, nobody is a copy. Who sends nothing
    new is nobody's copy.
    """
    others = ~torch.eye(len(similarity), dtype=torch.bool)
    own = similarity.diagonal()
    difference = ((own[:, None] + own) / 2 - similarity).clamp_min(0)
    by_client = difference[others].view(len(own), -1).median(dim=1).values
    typical = by_client.median()
    is_same = (difference < SAME * typical) & (typical > ROUNDING * own.max())
    moved = (own[:, None] > 0) & (own > 0)
    return is_same & moved | ~others
