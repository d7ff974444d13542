r"""Labels to partition: which training images each client holds.

A partition is made of two draws: how many images a client gets, and in what
proportions of the classes. Images are drawn without replacement, so no two clients
share one. Where a class has run out, the client's other classes fill the place.

``flwr_datasets`` has partitioners too. They are not used here: none draws uniform
quantities, ``InnerDirichletPartitioner`` divides zero by zero once all the classes a
client wants have run out (which a small :math:`\alpha` makes likely), and they need
Hugging Face's ``datasets`` for what are a few lines.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bloodmnist.run_config import RunConfig

MIN_IMAGES = 2
MIN_IMAGES_NIID_BENCH = 10
MAX_DRAWS = 1000

Counts = NDArray[np.int64]
Proportions = NDArray[np.float64]


def partition(
    run_config: RunConfig, labels: Tensor, num_partitions: int
) -> list[Tensor]:
    """Share the training images among the clients.

    Parameters
    ----------
    run_config : RunConfig
        ``partition`` names the way; ``images-min``, ``images-max``, ``alpha`` and
        ``seed`` are its settings.
    labels : Tensor
        The classes of all training images, shape ``(n,)``.
    num_partitions : int
        Number of clients.

    Returns
    -------
    list[Tensor]
        For every client the row numbers of its images.

    Raises
    ------
    ValueError
        If the way or a setting is impossible, or there are too few images.
    """
    kind = str(run_config["partition"])
    if kind not in PARTITIONERS:
        raise ValueError(f"unknown partition {kind!r}: use one of {list(PARTITIONERS)}")
    rng = np.random.default_rng(np.random.SeedSequence([run_config["seed"], 1]))
    pool = np.bincount(labels.numpy())
    sizes, proportions = PARTITIONERS[kind](run_config, pool, num_partitions, rng)
    if sizes.min() < MIN_IMAGES:
        raise ValueError(
            f"{pool.sum()} training images are too few for {num_partitions} clients: "
            f"a client would get {sizes.min()}, and needs {MIN_IMAGES}"
        )
    return _draw_rows(labels.numpy(), sizes, proportions, rng)


def _iid(
    run_config: RunConfig, pool: Counts, num_partitions: int, rng: np.random.Generator
) -> tuple[Counts, Proportions]:
    """Uniform quantities; classes as in all training images."""
    sizes = _uniform_sizes(run_config, pool, num_partitions, rng)
    return sizes, np.tile(pool / pool.sum(), (num_partitions, 1))


def _dirichlet(
    run_config: RunConfig, pool: Counts, num_partitions: int, rng: np.random.Generator
) -> tuple[Counts, Proportions]:
    r"""Uniform quantities; classes :math:`p_k \sim \mathrm{Dir}(\alpha)` per client."""
    sizes = _uniform_sizes(run_config, pool, num_partitions, rng)
    concentration = np.full(len(pool), _positive_alpha(run_config))
    return sizes, rng.dirichlet(concentration, num_partitions)


def _quantity_dirichlet(
    run_config: RunConfig, pool: Counts, num_partitions: int, rng: np.random.Generator
) -> tuple[Counts, Proportions]:
    r"""NIID-Bench's quantity skew: shares :math:`q \sim \mathrm{Dir}(\beta)`.

    The setting ``alpha`` is :math:`\beta`. As there, shares are drawn anew until every
    client has at least 10 images. NIID-Bench shares out all images; here as many
    are used as the other ways use on average, so that runs can be compared.
    """
    mean_size = (run_config["images-min"] + run_config["images-max"]) / 2
    total = min(pool.sum(), round(num_partitions * mean_size))
    concentration = np.full(num_partitions, _positive_alpha(run_config))
    for _ in range(MAX_DRAWS):
        sizes = np.floor(rng.dirichlet(concentration) * total).astype(np.int64)
        if sizes.min() >= MIN_IMAGES_NIID_BENCH:
            return sizes, np.tile(pool / pool.sum(), (num_partitions, 1))
    raise ValueError(
        f"alpha={run_config['alpha']} leaves some of {num_partitions} clients with "
        f"fewer than {MIN_IMAGES_NIID_BENCH} of {total} images: use a larger alpha"
    )


def _one_class(
    run_config: RunConfig, pool: Counts, num_partitions: int, rng: np.random.Generator
) -> tuple[Counts, Proportions]:
    """Class ``k mod C`` alone for client k; clients of one class share it equally."""
    classes = np.arange(num_partitions) % len(pool)
    share = pool // np.maximum(np.bincount(classes, minlength=len(pool)), 1)
    sizes = _uniform_sizes(run_config, pool, num_partitions, rng)
    return np.minimum(sizes, share[classes]), np.eye(len(pool))[classes]


Partitioner = Callable[
    [RunConfig, Counts, int, np.random.Generator], tuple[Counts, Proportions]
]
PARTITIONERS: dict[str, Partitioner] = {
    "iid": _iid,
    "dirichlet": _dirichlet,
    "quantity-dirichlet": _quantity_dirichlet,
    "one-class": _one_class,
}


def _uniform_sizes(
    run_config: RunConfig, pool: Counts, num_partitions: int, rng: np.random.Generator
) -> Counts:
    """Draw a size per client, all scaled down if together they exceed what there is."""
    least, most = run_config["images-min"], run_config["images-max"]
    if not 0 < least <= most:
        raise ValueError(
            f"images-min must be from 1 to images-max, got {least} and {most}"
        )
    sizes = rng.integers(least, most, num_partitions, endpoint=True)
    excess = max(1.0, sizes.sum() / pool.sum())
    return np.floor(sizes / excess).astype(np.int64)


def _positive_alpha(run_config: RunConfig) -> float:
    alpha = float(run_config["alpha"])
    if not alpha > 0:
        raise ValueError(
            f"alpha must be positive, got {alpha}: for one class a client use "
            'partition="one-class"'
        )
    return alpha


def _draw_rows(
    labels: NDArray[np.int64],
    sizes: Counts,
    proportions: Proportions,
    rng: np.random.Generator,
) -> list[Tensor]:
    """Draw every client's images from what the clients before it have left."""
    left = [
        rng.permutation(np.flatnonzero(labels == label))
        for label in range(proportions.shape[1])
    ]
    clients = []
    for size, wanted in zip(sizes, proportions, strict=True):
        counts = _draw_counts(size, wanted, np.array([len(rows) for rows in left]), rng)
        drawn = [rows[:count] for rows, count in zip(left, counts, strict=True)]
        left = [rows[count:] for rows, count in zip(left, counts, strict=True)]
        clients.append(torch.from_numpy(np.concatenate(drawn)))
    return clients


def _draw_counts(
    size: int, wanted: Proportions, left: Counts, rng: np.random.Generator
) -> Counts:
    """Draw how many images of each class; classes that have run out are passed over."""
    counts = np.zeros_like(left)
    while missing := size - counts.sum():
        chances = wanted * (counts < left)
        if chances.sum() == 0:
            chances = (left - counts).astype(np.float64)
        drawn = rng.multinomial(missing, chances / chances.sum())
        counts = np.minimum(counts + drawn, left)
    return counts
