"""What a scoring has to say of a round."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Judgement:
    """Scores, and what goes with them.

    Attributes
    ----------
    scores : Tensor
        One for each client; higher is more consistent.
    reasons : list of str
        A sentence for each client, reported for those that are dropped; may be empty.
    remembered : dict
        By name a number for each client. When the same clients are scored next, it
        stands under that name among their features.
    """

    scores: Float[Tensor, " clients"]
    reasons: Sequence[str] = ()
    remembered: Mapping[str, Float[Tensor, " clients"]] = field(default_factory=dict)
