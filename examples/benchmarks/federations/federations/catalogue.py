"""The federations: some to derive the rule on, the others for published numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from numpy.random import Generator, default_rng
from torch import Tensor, nn

from federations import models, tasks
from federations.samples import (
    Samples,
    divide,
    divide_by_class,
    scaled,
    scan,
    split_off,
)
from federations.tasks import Task

FETS_14 = (509, 381, 259, 149, 89, 59, 46, 33, 21, 14, 11, 7, 5, 3)
FETS = (511, 382, 47, 35, 35, 34, 33, 30, 22, 15, 14, 13, 12, 11, 9, 8, 8, 7, 6, 6)
FETS = (*FETS, 5, 4, 4)
ISIC = (9930, 3163, 2691, 1807, 655, 351)
LIDC = (530, 59, 164, 55)
TCGA = (248, 156, 164, 129, 129, 40)
IXI = (249, 145, 59)
HEART = (199, 172, 30, 85)
"""Training samples of the hospitals in FLamby (Terrail et al., 2022) and FeTS."""

NUM_DIGITS = 1500
"""Of the 1,797, so many are for training; the others are the test."""


@dataclass(frozen=True)
class Federation:
    """Hospitals that train one model.

    Attributes
    ----------
    name
        Short and unique.
    task
        What is learned.
    hospitals
        From a generator the samples of each hospital, and those of the test.
    build
        The model.
    rounds
        How many rounds; enough to converge.
    local_epochs, local_steps
        How long a hospital trains in a round; steps count if they are not zero.
    learning_rate, batch_size
        Of local training by SGD.
    presence
        How likely a hospital takes part in a round.
    half_trained
        Every so manieth hospital trains half as long; none if zero.
    idle
        How likely the smallest hospital answers with the model that it got.
    is_adaptive
        Whether local training is by Adam instead.
    is_held_out
        Whether it is looked at for published numbers only.
    """

    name: str
    task: Task
    hospitals: Callable[[Generator], tuple[Sequence[Samples], Samples]]
    build: Callable[[], nn.Module]
    rounds: int = 15
    local_epochs: int = 1
    local_steps: int = 0
    learning_rate: float = 0.1
    batch_size: int = 16
    presence: float = 1.0
    half_trained: int = 0
    idle: float = 0.0
    is_adaptive: bool = False
    is_held_out: bool = True

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one input."""
        return tuple(self.hospitals(default_rng(0))[1].inputs.shape[1:])

    @property
    def virtual_samples(self) -> Callable[[torch.Generator, int], Tensor] | None:
        """Token ids where inputs are token ids; normal samples elsewhere."""
        return _token_ids if self.name.startswith("tokens") else None


def _token_ids(generator: torch.Generator, num_samples: int) -> Tensor:
    return torch.randint(9, (num_samples, 64), generator=generator)


def _with_test(
    load: Callable[[], Samples],
    num_test: int,
    share: Callable[[Samples, Generator], Sequence[Samples]],
) -> Callable[[Generator], tuple[Sequence[Samples], Samples]]:
    """Set test samples aside, then share the others among the hospitals."""

    def hospitals(rng: Generator) -> tuple[Sequence[Samples], Samples]:
        rest, test = split_off(load(), num_test, rng)
        return share(rest, rng), test

    return hospitals


def _shared(
    sizes: Sequence[int], alpha: float = 10.0, total: int = NUM_DIGITS
) -> Callable[[Samples, Generator], Sequence[Samples]]:
    fitting = scaled(sizes, total) if sum(sizes) > total else tuple(sizes)
    return lambda samples, rng: divide(samples, fitting, alpha, rng)


def _digits(
    load: Callable[[], Samples], sizes: Sequence[int], alpha: float = 10.0
) -> Callable[[Generator], tuple[Sequence[Samples], Samples]]:
    return _with_test(load, 1797 - NUM_DIGITS, _shared(sizes, alpha, NUM_DIGITS - 20))


def _equal(num_clients: int) -> tuple[int, ...]:
    return (NUM_DIGITS // num_clients,) * num_clients


def _one_class_each(rng: Generator) -> tuple[Sequence[Samples], Samples]:
    rest, test = split_off(tasks.digits(), 1797 - NUM_DIGITS, rng)
    return divide_by_class(rest), test


def _four_hospitals(path: Path, rng: Generator) -> tuple[Sequence[Samples], Samples]:
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


def _scanned(path: str, rng: Generator) -> tuple[Sequence[Samples], Samples]:
    """Give six hospitals blood cells as their own scanners show them."""
    train, test = tasks.blood_cells(path)
    parts = divide(train, scaled(ISIC, 1500), 10.0, rng)
    _, fewer = split_off(test, 1000, rng)
    return [scan(part, rng) for part in parts], fewer


GROUP = partial(models.cnn, 10, "group")
BATCH = partial(models.cnn, 10, "batch")
TEN = tasks.classes(10)


def federations(heart: Path | None, blood_cells: str) -> tuple[Federation, ...]:
    """List all federations.

    Parameters
    ----------
    heart
        The heart disease data; without them these federations are left out.
    blood_cells
        Path of ``bloodmnist.npz``; if it is empty that federation is left out.
    """
    deriving = (*_deriving(), *(_heart_deriving(heart) if heart else ()))
    return (
        *(replace(each, is_held_out=False) for each in deriving),
        *_held_out(),
        *(_heart_held_out(heart) if heart else ()),
        *(_blood_cells(blood_cells) if blood_cells else ()),
    )


def _deriving() -> tuple[Federation, ...]:
    return (
        Federation(
            "fets14",
            TEN,
            _digits(tasks.digits, FETS_14),
            GROUP,
            learning_rate=0.05,
        ),
        Federation("isic-5", TEN, _digits(tasks.digits, ISIC), GROUP, local_epochs=5),
        Federation(
            "lidc-batchnorm",
            TEN,
            _digits(tasks.digits, LIDC),
            BATCH,
            learning_rate=0.05,
        ),
        Federation("equal10", TEN, _digits(tasks.digits, _equal(10)), GROUP),
        Federation(
            "equal10-skewed",
            TEN,
            _digits(tasks.digits, _equal(10), 0.3),
            GROUP,
            rounds=20,
        ),
        Federation(
            "come-and-go",
            TEN,
            _digits(tasks.digits, _equal(14), 1.0),
            GROUP,
            rounds=25,
            presence=0.5,
        ),
        Federation(
            "cancer-one-output",
            tasks.ONE_OUTPUT,
            _with_test(tasks.breast_cancer, 120, _shared(HEART, 1.0, 440)),
            partial(models.linear, 30, 1),
            rounds=30,
            learning_rate=0.02,
        ),
    )


def _heart_deriving(path: Path) -> tuple[Federation, ...]:
    hospitals = partial(_four_hospitals, path)
    return (
        Federation(
            "heart-mlp",
            tasks.classes(2),
            hospitals,
            partial(models.mlp, 13, 2),
            rounds=40,
            local_epochs=2,
            learning_rate=0.05,
        ),
    )


def _held_out() -> tuple[Federation, ...]:
    return (
        Federation("fets23-5", TEN, _digits(tasks.digits, FETS), BATCH, local_epochs=5),
        Federation("isic", TEN, _digits(tasks.digits, ISIC), GROUP, learning_rate=0.05),
        Federation("lidc-5", TEN, _digits(tasks.digits, LIDC), GROUP, local_epochs=5),
        Federation(
            "tcga-batchnorm",
            TEN,
            _digits(tasks.digits, TCGA),
            BATCH,
            learning_rate=0.05,
        ),
        Federation(
            "ixi-half-trained",
            TEN,
            _digits(tasks.digits, IXI),
            BATCH,
            local_epochs=2,
            half_trained=2,
            learning_rate=0.03,
        ),
        Federation(
            "equal10-batchnorm",
            TEN,
            _digits(tasks.digits, _equal(10), 1.0),
            BATCH,
            learning_rate=0.05,
        ),
        Federation(
            "equal10-long",
            TEN,
            _digits(tasks.digits, _equal(10), 0.3),
            GROUP,
            local_epochs=5,
        ),
        Federation("one-class", TEN, _one_class_each, GROUP, rounds=30),
        Federation(
            "equal50",
            TEN,
            _digits(tasks.digits, _equal(50), 1.0),
            GROUP,
            rounds=20,
        ),
        Federation(
            "rare-cases",
            tasks.ONE_OUTPUT,
            _digits(tasks.nines, TCGA, 1.0),
            partial(models.cnn, 1, "group"),
            rounds=20,
            idle=0.5,
        ),
        Federation(
            "tokens",
            TEN,
            _digits(tasks.tokens, _equal(6), 1.0),
            partial(models.Transformer, 9, 64, 10),
            rounds=20,
            local_epochs=2,
            learning_rate=0.005,
            is_adaptive=True,
        ),
        Federation(
            "lstm",
            TEN,
            _digits(tasks.rows, ISIC),
            partial(models.Recurrent, 8, 10),
            rounds=20,
            learning_rate=0.01,
            is_adaptive=True,
        ),
        Federation(
            "regression",
            tasks.REGRESSION,
            _with_test(
                tasks.diabetes, 92, lambda s, rng: divide_alike(s, LIDC, 340, rng)
            ),
            partial(models.mlp, 10, 1),
            rounds=30,
            learning_rate=0.02,
        ),
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


def _heart_held_out(path: Path) -> tuple[Federation, ...]:
    hospitals = partial(_four_hospitals, path)
    logistic = partial(models.linear, 13, 1)
    return (
        Federation(
            "heart-logistic",
            tasks.ONE_OUTPUT,
            hospitals,
            logistic,
            rounds=40,
            local_epochs=2,
            learning_rate=0.02,
        ),
        Federation(
            "heart-logistic-steps",
            tasks.ONE_OUTPUT,
            hospitals,
            logistic,
            rounds=40,
            local_steps=20,
            learning_rate=0.02,
        ),
        Federation(
            "heart-mlp-steps",
            tasks.classes(2),
            hospitals,
            partial(models.mlp, 13, 2),
            rounds=40,
            local_steps=20,
            learning_rate=0.05,
        ),
    )


def _blood_cells(path: str) -> tuple[Federation, ...]:
    return (
        Federation(
            "scanners",
            tasks.classes(8),
            partial(_scanned, path),
            partial(models.resnet, 8),
            rounds=12,
            learning_rate=0.05,
            batch_size=32,
        ),
    )
