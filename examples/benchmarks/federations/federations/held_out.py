"""The federations that are held out: looked at for published numbers only."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from federations import models, tasks
from federations.federation import Federation
from federations.hospitals import (
    BATCH,
    FETS,
    GROUP,
    ISIC,
    IXI,
    LIDC,
    TCGA,
    TEN,
    digits,
    divide_alike,
    equal,
    four_hospitals,
    rare_cases,
    scanned,
    shared,
    some_classes_each,
    token_ids,
    with_test,
)


def synthetic() -> tuple[Federation, ...]:
    """List those whose data come with scikit-learn."""
    return (
        Federation("fets23-5", TEN, digits(tasks.digits, FETS), BATCH, local_epochs=5),
        Federation("isic", TEN, digits(tasks.digits, ISIC), GROUP, learning_rate=0.05),
        Federation("lidc-5", TEN, digits(tasks.digits, LIDC), GROUP, local_epochs=5),
        Federation(
            "tcga-batchnorm",
            TEN,
            digits(tasks.digits, TCGA),
            BATCH,
            learning_rate=0.05,
        ),
        Federation(
            "ixi-half-trained",
            TEN,
            digits(tasks.digits, IXI),
            BATCH,
            local_epochs=2,
            half_trained=2,
            learning_rate=0.03,
        ),
        Federation(
            "equal10-batchnorm",
            TEN,
            digits(tasks.digits, equal(10), 1.0),
            BATCH,
            learning_rate=0.05,
        ),
        Federation(
            "equal10-long",
            TEN,
            digits(tasks.digits, equal(10), 0.3),
            GROUP,
            local_epochs=5,
        ),
        Federation(
            "equal50",
            TEN,
            digits(tasks.digits, equal(50), 1.0),
            GROUP,
            rounds=20,
        ),
        Federation(
            "some-classes",
            TEN,
            some_classes_each(8, 3),
            GROUP,
            rounds=25,
            local_epochs=2,
            learning_rate=0.05,
        ),
        Federation(
            "rare-cases-lidc",
            tasks.ONE_OUTPUT,
            digits(partial(tasks.is_digit, 9), LIDC, 0.5),
            partial(models.cnn, 1, "batch"),
            rounds=20,
            learning_rate=0.05,
        ),
        rare_cases("rare-cases-16", 3, equal(16), 10.0),
        Federation(
            "cancer-16",
            tasks.classes(2),
            with_test(tasks.breast_cancer, 120, shared(equal(16), 1.0, 440)),
            partial(models.mlp, 30, 2),
            rounds=25,
        ),
        Federation(
            "come-and-go-12",
            TEN,
            digits(tasks.digits, equal(12), 1.0),
            BATCH,
            rounds=25,
            learning_rate=0.05,
            presence=0.6,
        ),
        Federation(
            "tokens",
            TEN,
            digits(tasks.tokens, equal(6), 1.0),
            partial(models.Transformer, 9, 64, 10),
            rounds=20,
            local_epochs=2,
            learning_rate=0.005,
            is_adaptive=True,
            virtual_samples=token_ids,
        ),
        Federation(
            "lstm",
            TEN,
            digits(tasks.rows, ISIC),
            partial(models.Recurrent, 8, 10),
            rounds=20,
            learning_rate=0.01,
            is_adaptive=True,
        ),
        Federation(
            "friedman",
            tasks.REGRESSION,
            with_test(
                tasks.friedman, 300, lambda s, rng: divide_alike(s, ISIC, 700, rng)
            ),
            partial(models.mlp, 10, 1),
            rounds=30,
            learning_rate=0.02,
        ),
    )


def with_heart(path: Path) -> tuple[Federation, ...]:
    """List those of four real hospitals."""
    hospitals = partial(four_hospitals, path)
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


def with_blood_cells(path: str) -> tuple[Federation, ...]:
    """List that of blood cells under six scanners."""
    return (
        Federation(
            "scanners",
            tasks.classes(8),
            partial(scanned, path),
            partial(models.resnet, 8),
            rounds=12,
            learning_rate=0.05,
            batch_size=32,
        ),
    )
