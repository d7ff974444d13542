"""The published score: Algorithm 1 of the paper, exactly, and its two formulas."""

import torch
from jaxtyping import Float
from torch import Tensor

from flwr_vdcs.admission import State
from flwr_vdcs.errors import InvalidArgumentError
from flwr_vdcs.probe import RoundContext
from flwr_vdcs.scoring.base import Scoring

TINY = torch.finfo(torch.float64).tiny
"""A zero vector has no direction: its cosine with anything is 0."""


class PaperScoring(Scoring):
    r"""The published score: Algorithm 1 of the paper, exactly.

    The features are those of the model with the deviations
    :math:`\Delta w_k = w_k - w^g` for parameters (Eqs. 13 to 16); a client's score is
    the mean cosine similarity of its features with the others' (Eqs. 17 and 18).

    If only the head travels, or the model is one layer, nothing of the deviations is in
    the features. Then the output of the head with its deviations is compared instead.
    """

    name = "paper"
    needs_momentum = False

    def features(
        self, context: RoundContext, global_state: State, update: State
    ) -> Float[Tensor, "samples features"]:
        """Run the feature extractor with the update's deviations as parameters."""

        def load_deviation(name: str, out: Tensor) -> None:
            if out.is_floating_point():
                torch.sub(update[name], global_state[name], out=out)
            else:
                out.copy_(update[name] - global_state[name])

        return context.features(load_deviation)

    def scores(
        self, features: Float[Tensor, "clients samples features"]
    ) -> Float[Tensor, " clients"]:
        """Take the mean cosine similarity with the other clients."""
        return consistency_scores(features)


def consistency_scores(
    features: Float[Tensor, "clients samples features"],
) -> Float[Tensor, " clients"]:
    r"""Score each client by its mean cosine similarity to every other client.

    With unit features :math:`u_k^n` of client :math:`k` on virtual sample :math:`n`,
    Eqs. 17 and 18 of the paper are

    .. math:: \bar s_k = \frac{1}{(K-1)\,N} \sum_n u_k^n \cdot \sum_{j \neq k} u_j^n.

    The sum over all clients is shared, so the cost is linear in their number.

    Parameters
    ----------
    features : Tensor
        One feature vector for each of K clients and N virtual samples, any real
        dtype. They are compared in float64.

    Returns
    -------
    Tensor
        K scores in ``[-1, 1]``, float64.

    Raises
    ------
    InvalidArgumentError
        If there are fewer than two clients, so there is nobody to agree with.
    """
    num_clients, num_samples, _ = features.shape
    if num_clients < 2:  # noqa: PLR2004
        raise InvalidArgumentError(
            "features", tuple(features.shape), "the features of at least 2 clients"
        )
    total = sum(_unit(client) for client in features)
    agreement = [unit @ (total - unit) for unit in map(_unit, features)]
    return torch.stack(agreement) / (num_samples * (num_clients - 1))


def similarity_matrix(
    features: Float[Tensor, "clients samples features"],
) -> Float[Tensor, "clients clients"]:
    r"""Compare every pair of clients (Eq. 17).

    .. math:: s_{ij} = \frac{1}{N} \sum_n \cos(f_i^n, f_j^n)

    Parameters
    ----------
    features : Tensor
        One feature vector for each of K clients and N virtual samples.

    Returns
    -------
    Tensor
        K x K similarities in ``[-1, 1]``, float64, symmetric. It is quadratic in K
        and meant for looking at a round; `consistency_scores` does not need it.
    """
    unit = torch.stack([_unit(client) for client in features])
    return unit @ unit.T / features.shape[1]


def _unit(features: Float[Tensor, "samples features"]) -> Float[Tensor, " row"]:
    """Scale a client's feature vectors to length 1, and lay them out in one row.

    The inner product of two rows is then the sum of cosines over the samples. One
    client at a time, so that the float64 copy of it is all the memory that is needed.
    """
    unit = features.to(torch.float64, copy=True)
    unit /= torch.linalg.vector_norm(unit, dim=-1, keepdim=True).clamp_min(TINY)
    return unit.flatten()
