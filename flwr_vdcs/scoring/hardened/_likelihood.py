r"""Values to likelihood ratios: how much more likely one explanation is than another.

Honest clients differ for good, and by how much is estimated from them. The fewer there
are, the less it is known, so likelihoods are those of Student's t distribution.
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Clients = Float[Tensor, " clients"]
Pairs = Float[Tensor, "clients clients"]

MAX_RATIO = 2.0
"""No norm, gain or share counts for more than so many times what is expected."""

PRIOR_CLIENTS = 2.0
"""What is assumed of a variance counts as much as so many clients do."""

GROSS_RANGE = 10.0
"""A gross update is anywhere up to exp(10) times as long as is expected."""

AGAINST = -0.5
"""Who works against the others goes along by at most so much of what these go."""

MOST_FREEDOM = 8.0
"""Shares of honest clients have tails this heavy, however many clients there are."""


def others(values: Clients, is_peer: Bool[Tensor, " clients"]) -> Pairs:
    """Put the values of each client's peers in its row, NaN in the other places."""
    rows = values.expand(len(values), -1).masked_fill(~is_peer, torch.nan)
    return rows.clone().fill_diagonal_(torch.nan)


def median(rows: Float[Tensor, "... values"]) -> Float[Tensor, "..."]:
    """Take the median of each row's numbers, between the middle two; NaN of none."""
    known = rows.isfinite().sum(-1)
    ordered = rows.sort(dim=-1).values
    places = torch.stack([known - 1, known], -1).clamp_min(0) // 2
    middle: Tensor = ordered.gather(-1, places).mean(-1)
    return middle


def spread_with_classes(with_many: float, num_classes: float) -> float:
    """Widen the standard deviation assumed with very many classes; at least two."""
    return with_many + 1 / (max(num_classes, 2) - 1)


def estimate_variance(
    rows: Float[Tensor, "... values"], prior: float | Tensor
) -> Float[Tensor, "..."]:
    r"""Estimate how much honest clients differ: robustly, and shrunk to a prior.

    .. math:: \hat v = (\nu_0 v_0 + n \hat s^2) / (\nu_0 + n)

    with :math:`\nu_0` = `PRIOR_CLIENTS`. Fewer than half of the clients attack. So of
    n values at least :math:`h = \lceil n / 2 \rceil + 1` are honest ones, if an
    attacker's own is not among them. :math:`\hat s` is the h-th smallest distance from
    the median, over that of a standard normal distribution.

    Parameters
    ----------
    rows
        Some values; NaN where there is none.
    prior
        The variance that is assumed, :math:`v_0`.
    """
    known = rows.isfinite().sum(-1)
    weighted = PRIOR_CLIENTS * prior + known * _spread(rows, known).square()
    variance: Tensor = weighted / (PRIOR_CLIENTS + known)
    return variance


def log_ratio_against(share: Clients, variance: Clients) -> Clients:
    r"""Weigh "works against the others" against "goes along with them".

    Honest clients go along by :math:`\beta` = 1 or more, give or take; who works
    against the others goes a = `AGAINST` or less. With :math:`\nu` degrees of freedom
    the logarithm of the likelihood ratio is

    .. math::

        \frac{\nu + 1}{2} \Bigl(
        \ln\bigl(1 + \tfrac{\max(0, 1 - \beta)^2}{\nu v}\bigr)
        - \ln\bigl(1 + \tfrac{\max(0, \beta - a)^2}{\nu v}\bigr)\Bigr),
        \qquad \beta \ge a - 1.

    Going against by more says no more.
    """
    freedom = min(_degrees_of_freedom(len(share)), MOST_FREEDOM)
    within = share.clamp_min(AGAINST - 1)
    scale = freedom * variance
    honest = ((1 - within).clamp_min(0).square() / scale).log1p()
    against = ((within - AGAINST).clamp_min(0).square() / scale).log1p()
    ratio: Tensor = (freedom + 1) / 2 * (honest - against)
    return ratio


def log_ratio_gross(excess: Clients, variance: Clients) -> Clients:
    r"""Weigh "grossly long" against "as long as is expected".

    Parameters
    ----------
    excess
        Logarithm of the norm over the expected one. Below zero it counts as zero: a
        short update does no harm.
    variance
        Of the logarithms of honest norms.
    """
    freedom = _degrees_of_freedom(len(excess))
    z = excess.clamp_min(0) / variance.sqrt()
    constant = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)
    constant -= math.log(freedom * math.pi) / 2
    honest = constant - (freedom + 1) / 2 * (z.square() / freedom).log1p()
    ratio: Tensor = variance.log() / 2 - honest - math.log(GROSS_RANGE)
    return ratio


def _spread(
    rows: Float[Tensor, "... values"], known: Int[Tensor, "..."]
) -> Float[Tensor, "..."]:
    num_honest = ((known + 1) // 2 + 1).minimum(known)
    away = (rows - median(rows)[..., None]).abs().nan_to_num(nan=torch.inf)
    place = (num_honest - 1).clamp_min(0)[..., None]
    furthest = away.sort(dim=-1).values.gather(-1, place)[..., 0]
    covered = (num_honest - 0.5).clamp_min(0.5) / known.clamp_min(1)
    spread = furthest / (math.sqrt(2) * torch.erfinv(covered))
    return torch.where(known > 0, spread, 0.0)


def _degrees_of_freedom(num_clients: int) -> float:
    """Count what the variance of one client's peers is estimated from."""
    return PRIOR_CLIENTS + num_clients - 2
