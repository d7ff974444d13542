"""Data, model, loss and metric of each kind of federation."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from bloodmnist.data import load_dataset
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    make_friedman1,
)
from sklearn.metrics import r2_score, roc_auc_score
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from federations.samples import Samples

Loss = Callable[[Tensor, Tensor], Tensor]
Metric = Callable[[Tensor, Tensor], float]


@dataclass(frozen=True)
class Task:
    """What a federation learns, and how well it does.

    Attributes
    ----------
    name
        ``"classes"``, ``"one output"`` or ``"regression"``.
    loss
        From answers and labels.
    metric
        From answers and labels, on test data: accuracy, AUC or R², higher is better.
    flip
        Labels to the attacker's.
    """

    name: str
    loss: Loss
    metric: Metric
    flip: Callable[[Tensor], Tensor]


def _accuracy(answers: Tensor, labels: Tensor) -> float:
    return float((answers.argmax(1) == labels).double().mean())


def _area(answers: Tensor, labels: Tensor) -> float:
    scores = answers[:, 0] if answers.shape[1] == 1 else answers[:, 1] - answers[:, 0]
    finite = torch.nan_to_num(scores, nan=0.0, posinf=1e30, neginf=-1e30)
    return float(roc_auc_score(labels.numpy(), finite.numpy()))


def _explained(answers: Tensor, labels: Tensor) -> float:
    """Compute R², at least -1; a model whose answers are not finite has that."""
    if not answers.isfinite().all():
        return -1.0
    return max(-1.0, float(r2_score(labels.numpy(), answers[:, 0].numpy())))


def _binary_loss(answers: Tensor, labels: Tensor) -> Tensor:
    return binary_cross_entropy_with_logits(answers[:, 0], labels.float())


def classes(num_classes: int) -> Task:
    """Give a classification; for two classes the metric is the AUC."""
    metric = _area if num_classes == 2 else _accuracy  # noqa: PLR2004
    return Task("classes", cross_entropy, metric, lambda y: (y + 1) % num_classes)


ONE_OUTPUT = Task("one output", _binary_loss, _area, lambda labels: 1 - labels)
REGRESSION = Task(
    "regression",
    lambda answers, labels: (answers[:, 0] - labels).square().mean(),
    _explained,
    lambda labels: -labels,
)


@cache
def digits() -> Samples:
    """Load scikit-learn's 1,797 digits, 8 x 8 grey images in [-1, 1]."""
    images, labels = load_digits(return_X_y=True)
    inputs = torch.tensor(images, dtype=torch.float32).view(-1, 1, 8, 8) / 8 - 1
    return Samples(inputs, torch.tensor(labels))


@cache
def tokens() -> Samples:
    """Read digits as sequences of 64 tokens, their brightness in nine steps."""
    images = digits()
    ids = ((images.inputs.flatten(1) + 1) * 4).round().long()
    return Samples(ids, images.labels)


@cache
def rows() -> Samples:
    """Read digits as sequences of eight rows."""
    images = digits()
    return Samples(images.inputs.squeeze(1), images.labels)


@cache
def is_digit(wanted: int) -> Samples:
    """Ask whether a digit is a certain one: one in ten is."""
    images = digits()
    return Samples(images.inputs, (images.labels == wanted).long())


@cache
def breast_cancer() -> Samples:
    """Load scikit-learn's breast cancer data: 569 patients, 30 features."""
    table, labels = load_breast_cancer(return_X_y=True)
    return Samples(_standardised(table), torch.tensor(labels))


@cache
def diabetes() -> Samples:
    """Load scikit-learn's diabetes data: 442 patients, 10 features."""
    table, values = load_diabetes(return_X_y=True)
    progress = (values - values.mean()) / values.std()
    return Samples(_standardised(table), torch.tensor(progress, dtype=torch.float32))


@cache
def friedman() -> Samples:
    """Draw 1,000 cases of Friedman's first regression: 10 features, 5 of no use."""
    table, values = make_friedman1(1000, noise=1.0, random_state=0)
    scores = (values - values.mean()) / values.std()
    return Samples(_standardised(table), torch.tensor(scores, dtype=torch.float32))


@cache
def heart(path: Path) -> dict[str, Samples]:
    """Load the heart disease data of four hospitals, 920 patients, 13 features.

    Features are standardised over all hospitals; missing ones are the mean.
    """
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    names = [name for name in lines[0] if name not in {"hospital", "num"}]
    table = np.array([[float(line[n] or "nan") for n in names] for line in lines])
    inputs = _standardised(table)
    ill = torch.tensor([int(line["num"]) > 0 for line in lines]).long()
    places = np.array([line["hospital"] for line in lines])
    everything = Samples(inputs, ill)
    return {
        name: everything[np.flatnonzero(places == name)]
        for name in dict.fromkeys(places.tolist())
    }


@cache
def blood_cells(path: str) -> tuple[Samples, Samples]:
    """Load the blood cell images: for training, and for the test."""
    dataset = load_dataset(path)
    return (
        Samples(dataset.train.normalised(), dataset.train.labels),
        Samples(dataset.test.normalised(), dataset.test.labels),
    )


def _standardised(table: np.ndarray) -> Tensor:
    scores = (table - np.nanmean(table, axis=0)) / np.nanstd(table, axis=0)
    return torch.tensor(np.nan_to_num(scores), dtype=torch.float32)
