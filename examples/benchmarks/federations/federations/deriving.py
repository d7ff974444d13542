"""The federations that the rule is derived on: its constants are chosen here."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from federations import models, tasks
from federations.federation import Federation
from federations.hospitals import (
    BATCH,
    FETS,
    FETS_14,
    GROUP,
    HEART,
    ISIC,
    LIDC,
    NUM_DIGITS,
    TCGA,
    TEN,
    digits,
    divide_alike,
    equal,
    four_hospitals,
    one_class_each,
    rare_cases,
    scanned_alike,
    shared,
    some_classes_each,
    with_test,
)


def synthetic() -> tuple[Federation, ...]:
    """List those whose data come with scikit-learn."""
    return (
        Federation(
            "fets14",
            TEN,
            digits(tasks.digits, FETS_14),
            GROUP,
            learning_rate=0.05,
        ),
        Federation("isic-5", TEN, digits(tasks.digits, ISIC), GROUP, local_epochs=5),
        Federation(
            "lidc-batchnorm",
            TEN,
            digits(tasks.digits, LIDC),
            BATCH,
            learning_rate=0.05,
        ),
        Federation(
            "scanned-digits",
            TEN,
            with_test(tasks.digits, 1797 - NUM_DIGITS, scanned_alike(ISIC)),
            BATCH,
            learning_rate=0.05,
        ),
        Federation("equal10", TEN, digits(tasks.digits, equal(10)), GROUP),
        Federation(
            "equal10-skewed",
            TEN,
            digits(tasks.digits, equal(10), 0.3),
            GROUP,
            rounds=20,
        ),
        Federation("one-class", TEN, one_class_each, GROUP, rounds=30),
        Federation(
            "few-classes",
            TEN,
            some_classes_each(12, 2),
            BATCH,
            rounds=30,
            learning_rate=0.05,
        ),
        rare_cases("rare-cases", 9, TCGA, 1.0),
        rare_cases("rare-cases-20", 9, equal(20), 10.0),
        rare_cases("rare-cases-24", 8, equal(24), 10.0),
        Federation(
            "equal40", TEN, digits(tasks.digits, equal(40), 0.5), GROUP, rounds=20
        ),
        Federation("fets23", TEN, digits(tasks.digits, FETS), GROUP, local_epochs=2),
        Federation(
            "come-and-go",
            TEN,
            digits(tasks.digits, equal(14), 1.0),
            GROUP,
            rounds=25,
            presence=0.5,
        ),
        Federation(
            "cancer-one-output",
            tasks.ONE_OUTPUT,
            with_test(tasks.breast_cancer, 120, shared(HEART, 1.0, 440)),
            partial(models.linear, 30, 1),
            rounds=30,
            learning_rate=0.02,
        ),
        Federation(
            "cancer-20",
            tasks.ONE_OUTPUT,
            with_test(tasks.breast_cancer, 120, shared(equal(20), 10.0, 440)),
            partial(models.linear, 30, 1),
            rounds=20,
            learning_rate=0.02,
        ),
        Federation(
            "regression",
            tasks.REGRESSION,
            with_test(
                tasks.diabetes, 92, lambda s, rng: divide_alike(s, LIDC, 340, rng)
            ),
            partial(models.mlp, 10, 1),
            rounds=30,
            learning_rate=0.02,
        ),
    )


def with_heart(path: Path) -> tuple[Federation, ...]:
    """List those of four real hospitals."""
    hospitals = partial(four_hospitals, path)
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
