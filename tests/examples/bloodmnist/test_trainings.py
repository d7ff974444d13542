"""Trainings read from disk: the same results, and nothing done twice."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from bloodmnist.algorithms import fedavg, fedspeed
from bloodmnist.loop import Batches, Settings
from bloodmnist.trainings import Trainings
from torch import nn

SETTINGS = Settings(lambda_speed=1.0)


def batches(seed=0, **changes) -> Batches:
    """Give eight images of two classes, in an order of their own."""
    generator = torch.Generator().manual_seed(1)
    made = Batches(
        images=torch.randn(8, 3, generator=generator),
        labels=torch.arange(8) % 2,
        num_classes=2,
        batch_size=4,
        generator=torch.Generator().manual_seed(seed),
    )
    return replace(made, **changes)


def network(seed=0) -> nn.Module:
    """Make a model with running statistics."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


class Counted:
    """FedSpeed, which remembers, and how often it was run."""

    __module__ = "counted"

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, *args) -> float:
        """Train and count."""
        self.times += 1
        return fedspeed.train(*args)


def two_rounds(train) -> tuple:
    """Train twice with a memory; give all that is left."""
    model, memory = network(), {}
    losses = [train(model, batches(seed), SETTINGS, memory) for seed in (0, 1)]
    values = [*model.state_dict().values()]
    values += [t for state in memory.values() for t in state.values()]
    return losses, values, model.training


def test_read_trainings_are_those_that_were_done(tmp_path):
    """Bit for bit, for model, statistics, memory and loss, and done once only."""
    counted, store = Counted(), Trainings(tmp_path)
    expected = two_rounds(fedspeed.train)
    for _ in range(2):
        losses, values, is_training = two_rounds(store.remembering(counted))
        assert losses == expected[0]
        assert all(map(torch.equal, values, expected[1]))
        assert is_training
    assert counted.times == 2


@pytest.mark.parametrize(
    "other",
    [
        {"model": network(1)},
        {"batches": batches(1)},
        {"batches": batches(images=torch.ones(8, 3))},
        {"batches": batches(labels=torch.zeros(8, dtype=torch.int64))},
        {"batches": batches(batch_size=2)},
        {"settings": replace(SETTINGS, learning_rate=0.1)},
        {"memory": {fedspeed.CORRECTION: dict(network(2).named_parameters())}},
    ],
    ids=["model", "order", "images", "labels", "batch size", "settings", "memory"],
)
def test_another_training_is_done(tmp_path, other):
    """Whatever differs of what goes into it."""
    counted = Counted()
    train = Trainings(tmp_path).remembering(counted)
    for changes in ({}, other):
        given = {
            "model": network(),
            "batches": batches(),
            "settings": SETTINGS,
            "memory": {},
            **changes,
        }
        train(*given.values())
    assert counted.times == 2


def test_another_algorithm_is_done(tmp_path):
    """With the same model, images and settings."""
    store = Trainings(tmp_path)
    for train in (fedavg.train, fedspeed.train):
        store.remembering(train)(network(), batches(), SETTINGS, {})
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_a_file_that_is_cut_off_is_done_again(tmp_path, share):
    """And replaced by a whole one."""
    counted = Counted()
    train = Trainings(tmp_path).remembering(counted)
    first = train(network(), batches(), SETTINGS, {})
    [path] = tmp_path.iterdir()
    os.truncate(path, int(share * path.stat().st_size))
    assert [train(network(), batches(), SETTINGS, {}) for _ in range(2)] == [first] * 2
    assert counted.times == 2


def test_those_not_used_for_longest_make_room(tmp_path):
    """What is read counts as used."""
    counted = Counted()
    train = Trainings(tmp_path).remembering(counted)
    train(network(0), batches(), SETTINGS, {})
    [first] = tmp_path.iterdir()
    train(network(1), batches(), SETTINGS, {})
    for age, path in enumerate(sorted(tmp_path.iterdir(), key=lambda p: p == first)):
        os.utime(path, ns=(age, age))
    size = first.stat().st_size
    small = Trainings(tmp_path, max_bytes=int(2.5 * size)).remembering(counted)
    small(network(2), batches(), SETTINGS, {})
    assert first in tmp_path.iterdir()
    assert len(list(tmp_path.iterdir())) == 2


def test_a_file_that_another_process_deletes_is_no_error(tmp_path, monkeypatch):
    """It is gone between the list of the files and the look at it."""
    store = Trainings(tmp_path)
    store.remembering(fedavg.train)(network(0), batches(), SETTINGS, {})
    [path] = tmp_path.iterdir()
    gone = tmp_path / "gone.pt"
    monkeypatch.setattr(Path, "glob", lambda *_: iter([gone, path]))
    store.remembering(fedavg.train)(network(1), batches(), SETTINGS, {})
    assert path.exists()
