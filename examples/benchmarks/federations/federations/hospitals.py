"""The hospitals of the federations: their real sizes, and what each of them holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from numpy.random import Generator
from torch import Tensor

from federations import models, tasks
from federations.federation import Federation, Hospitals
from federations.samples import (
    Samples,
    deal_shards,
    divide,
    divide_by_class,
    scaled,
    scan,
    split_off,
)

Share = Callable[[Samples, Generator], Sequence[Samples]]

FETS_14 = (509, 381, 259, 149, 89, 59, 46, 33, 21, 14, 11, 7, 5, 3)
FETS = (
    *(511, 382, 47, 35, 35, 34, 33, 30, 22, 15, 14, 13),
    *(12, 11, 9, 8, 8, 7, 6, 6, 5, 4, 4),
)
ISIC = (9930, 3163, 2691, 1807, 655, 351)
LIDC = (530, 59, 164, 55)
TCGA = (248, 156, 164, 129, 129, 40)
IXI = (249, 145, 59)
HEART = (199, 172, 30, 85)
"""Training samples of the hospitals in FLamby (Terrail et al., 2022) and FeTS."""

NUM_DIGITS = 1500
"""Of the 1,797, so many are for training; the others are the test."""


def token_ids(generator: torch.Generator, num_samples: int) -> Tensor:
    """Draw virtual samples for models of token ids."""
    return torch.randint(9, (num_samples, 64), generator=generator)


def with_test(
    load: Callable[[], Samples],
    num_test: int,
    share: Share,
) -> Hospitals:
    """Set test samples aside, then share the others among the hospitals."""

    def hospitals(rng: Generator) -> tuple[Sequence[Samples], Samples]:
        rest, test = split_off(load(), num_test, rng)
        return share(rest, rng), test

    return hospitals


def shared(sizes: Sequence[int], alpha: float = 10.0, total: int = NUM_DIGITS) -> Share:
    """Share samples by size, scaled to a total if they are more."""
    fitting = scaled(sizes, total) if sum(sizes) > total else tuple(sizes)
    return lambda samples, rng: divide(samples, fitting, alpha, rng)


def digits(
    load: Callable[[], Samples], sizes: Sequence[int], alpha: float = 10.0
) -> Hospitals:
    """Share digits by size, with 297 set aside for the test."""
    return with_test(load, 1797 - NUM_DIGITS, shared(sizes, alpha, NUM_DIGITS - 20))


def equal(num_clients: int) -> tuple[int, ...]:
    """Give everybody as many digits."""
    return (NUM_DIGITS // num_clients,) * num_clients


def rare_cases(name: str, digit: int, sizes: Sequence[int], alpha: float) -> Federation:
    """Find one digit among all, where half of the hospitals are idle in a round."""
    return Federation(
        name,
        tasks.ONE_OUTPUT,
        digits(partial(tasks.is_digit, digit), sizes, alpha),
        partial(models.cnn, 1, "group"),
        rounds=20,
        idle=0.5,
    )


def one_class_each(rng: Generator) -> tuple[Sequence[Samples], Samples]:
    """Give each of ten hospitals all images of one digit."""
    rest, test = split_off(tasks.digits(), 1797 - NUM_DIGITS, rng)
    return divide_by_class(rest), test


def four_hospitals(path: Path, rng: Generator) -> tuple[Sequence[Samples], Samples]:
    """Keep three in ten of each hospital's patients for the test."""
    parts = [
        split_off(samples, round(0.3 * len(samples)), rng)
        for samples in tasks.heart(path).values()
    ]
    test = Samples(
        torch.cat([held.inputs for _, held in parts]),
        torch.cat([held.labels for _, held in parts]),
    )
    return [rest for rest, _ in parts], test


def scanned(path: str, rng: Generator) -> tuple[Sequence[Samples], Samples]:
    """Give six hospitals blood cells as their own scanners show them."""
    train, test = tasks.blood_cells(path)
    parts = divide(train, scaled(ISIC, 1500), 10.0, rng)
    _, fewer = split_off(test, 1000, rng)
    return [scan(part, rng) for part in parts], fewer


def scanned_alike(sizes: Sequence[int]) -> Share:
    """Share samples by size, and show each hospital its own as its scanner does."""
    share = shared(sizes)
    return lambda samples, rng: [scan(part, rng) for part in share(samples, rng)]


def some_classes_each(num_hospitals: int, num_shards: int) -> Hospitals:
    """Give each hospital so many shards of the digits, sorted by class."""
    return with_test(
        tasks.digits,
        1797 - NUM_DIGITS,
        lambda samples, rng: deal_shards(samples, num_hospitals, num_shards, rng),
    )


def divide_alike(
    samples: Samples, sizes: Sequence[int], total: int, rng: Generator
) -> tuple[Samples, ...]:
    """Divide at random, where there are no classes."""
    parts: list[Samples] = []
    for size in scaled(sizes, total):
        samples, part = split_off(samples, size, rng)
        parts.append(part)
    return tuple(parts)


GROUP = partial(models.cnn, 10, "group")
BATCH = partial(models.cnn, 10, "batch")
TEN = tasks.classes(10)
