r"""Evidence to agreement: how far an update goes the way that honest ones share.

Similarity to peers, to the head and to the momentum are put together as the linear
discriminant between an update and its reverse. Its sums over the rounds are that of all
rounds, in which each round counts by what its clients had in common. What the head is
taught is looked at by itself as well: of whole updates it is a small part.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

WEIGHTS: Mapping[str, float] = {"peers": 1.0, "head": 16.0, "momentum": 32.0}
"""How much each kind of agreement counts.

In a linear discriminant it is the reciprocal of the variance. Honest clients who hold
other classes than most are unlike their peers, but all of them make the head surer of
what it knows and go on the way that the federation has come. Chosen on recorded rounds.
"""

USUAL_SPREAD = 0.2
"""Where clients differ by more in how they confirm the head, that counts for less.

Heads of two or three classes have few directions: a client whose data are harder than
the others' undoes them a little in every round. The weight is a variance's reciprocal.
"""

LEAST_AGREEMENT = 0.05
"""Where the median client is less similar to its peers, outliers count for less."""

LEAST_SPREAD = 0.25
"""Clients teach the head by at least this share of the median one's differently."""

LEAST_LESSON = 8.0
"""In squared standard deviations. From less a client's share is not to be told.

Of this much it is exact to a third.
"""

TINY = 1e-30

FADING = 0.8
"""What is left of a round when the client is scored next: about five rounds count."""


@dataclass(frozen=True)
class Agreement:
    """How far each client goes along with the median one, in a round or over rounds.

    Attributes
    ----------
    along, whole
        How far it goes, and how far the median client does. What honest clients do not
        have in common, as with a head that has learned nothing, counts in neither.
    taught, lesson
        How far it teaches the head what the others do, from the reverse on, and how far
        the median client does, in squared standard deviations of the clients.
    confirmed, expected
        How much it confirms the head, and how much the median client does.
    rounds
        How many rounds that is.
    """

    along: Float[Tensor, " clients"]
    whole: Float[Tensor, " clients"]
    taught: Float[Tensor, " clients"]
    lesson: Float[Tensor, " clients"]
    confirmed: Float[Tensor, " clients"]
    expected: Float[Tensor, " clients"]
    rounds: Float[Tensor, " clients"]

    @property
    def share(self) -> Float[Tensor, " clients"]:
        """Put the median client at about 1, its reverse at -1."""
        return self.along / self.whole.clamp_min(LEAST_AGREEMENT**2)

    @property
    def teaching(self) -> Float[Tensor, " clients"]:
        """Put who teaches the head as the median client at about 1."""
        return self.taught / self.lesson.clamp_min(LEAST_LESSON)

    @property
    def confirmation(self) -> Float[Tensor, " clients"]:
        """Average the confirmation of the head."""
        return self.confirmed / self.rounds

    @property
    def surplus(self) -> Float[Tensor, " clients"]:
        """Average what it confirms more than the median client in the same rounds.

        Heads are confirmed less and less, and clients take part in different rounds.
        """
        return (self.confirmed - self.expected) / self.rounds

    def after(self, past: "Agreement") -> "Agreement":
        """Add a round to those before it.

        They count for no more than the median client's would, and against nobody more
        than its reverse's: whoever goes further gains no credit that it could use up.
        """
        earlier = vars(past) | {
            "along": past.along.clamp(-past.whole, past.whole),
            "taught": past.taught.clamp(-past.lesson, past.lesson),
        }
        sums = {name: FADING * earlier[name] + now for name, now in vars(self).items()}
        return Agreement(**sums)


def find_agreement(
    kinds: Mapping[str, Float[Tensor, " clients"]],
    typical: Mapping[str, Float[Tensor, ""]],
    spread: Mapping[str, Float[Tensor, ""]],
) -> Agreement:
    """Compare with the median client in one round.

    Parameters
    ----------
    kinds
        Of each kind in `WEIGHTS` the cosines, and of ``"lesson"`` those with what peers
        teach the head.
    typical
        Of each kind the median client's. What is below zero is not shared.
    spread
        Of each kind the clients' standard deviation.
    """
    trust: Tensor = (USUAL_SPREAD / spread["head"].clamp_min(USUAL_SPREAD)) ** 2
    weights = {**WEIGHTS, "head": WEIGHTS["head"] * trust.item()}
    shared = {kind: value.clamp_min(0) for kind, value in typical.items()}
    along = sum(weights[kind] * shared[kind] * kinds[kind] for kind in weights)
    whole = sum(weights[kind] * shared[kind] ** 2 for kind in weights)
    lesson = shared["lesson"]
    differ = spread["lesson"].maximum(LEAST_SPREAD * lesson).clamp_min(TINY)
    known = (lesson / differ) ** 2
    once = torch.ones_like(kinds["head"])
    return Agreement(
        along=along * once,
        whole=whole * once,
        taught=(lesson / differ**2 * kinds["lesson"]).clamp_min(-known),
        lesson=known * once,
        confirmed=kinds["head"],
        expected=typical["head"] * once,
        rounds=once,
    )
