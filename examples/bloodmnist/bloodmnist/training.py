"""Received model to trained model: one client's part of a round; and the test."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bloodmnist.algorithms import find_algorithm
from bloodmnist.attacks.data import poison_data
from bloodmnist.data import Images, load_partition, make_generator
from bloodmnist.loop import Batches, Memory, Settings
from bloodmnist.model import State, model_with
from bloodmnist.run_config import RunConfig
from bloodmnist.trainings import Trainings
from flwr_vdcs import resolve_device

__all__ = ["Memory", "State", "iterate", "test", "train_partition"]

TEST_BATCH_SIZE = 256


def train_partition(  # noqa: PLR0917 - all of it decides the result
    run_config: RunConfig,
    received: State,
    server_round: int,
    partition_id: int,
    num_partitions: int,
    memory: Memory,
) -> tuple[State, dict[str, float]]:
    """Train the received model on one client's images.

    The result depends on the arguments alone, so whoever has them can repeat it.

    Parameters
    ----------
    run_config : RunConfig
        The settings; those of the attack decide what a poisoned client trains on.
    received : State
        The global model, which is not changed.
    server_round, partition_id, num_partitions : int
        The round and the client, of how many.
    memory : Memory
        What the client carries from round to round. It is updated in place; its
        tensors are replaced, never changed.

    Returns
    -------
    State, dict[str, float]
        What the client sends: arrays on the CPU, mean loss and number of images.
    """
    train = find_algorithm(str(run_config["algorithm"]))
    if run_config["trainings"]:
        train = Trainings(Path(run_config["trainings"])).remembering(train)
    device = resolve_device(str(run_config["device"]))
    batches = _load_batches(
        run_config, server_round, partition_id, num_partitions, device
    )
    name = str(run_config["model"])
    model = model_with(received, batches.num_classes, device, name)
    remembered = {name: _moved(state, device) for name, state in memory.items()}
    loss = train(model, batches, Settings.of(run_config), remembered)

    memory.update({name: _moved(state, "cpu") for name, state in remembered.items()})
    metrics = {"train-loss": loss, "num-examples": len(batches.labels)}
    return _moved(model.state_dict(), "cpu"), metrics


@torch.no_grad()
def test(model: nn.Module, images: Images) -> tuple[float, float]:
    """Return the mean loss and the accuracy, both over images."""
    model.eval()
    loss, correct = 0.0, 0
    for pixels, labels in iterate(images, next(model.parameters()).device):
        logits = model(pixels)
        loss += float(cross_entropy(logits, labels, reduction="sum"))
        correct += int((logits.argmax(dim=1) == labels).sum())
    return loss / len(images), correct / len(images)


def iterate(images: Images, device: torch.device) -> list[tuple[Tensor, Tensor]]:
    """Give the images in batches, in their order, as the model takes them."""
    pixels = images.normalised().split(TEST_BATCH_SIZE)
    labels = images.labels.split(TEST_BATCH_SIZE)
    return [
        (some.to(device), classes.to(device))
        for some, classes in zip(pixels, labels, strict=True)
    ]


def _load_batches(
    run_config: RunConfig,
    server_round: int,
    partition_id: int,
    num_partitions: int,
    device: torch.device,
) -> Batches:
    images, num_classes = load_partition(run_config, partition_id, num_partitions)
    pixels, labels = poison_data(
        images.normalised(),
        images.labels,
        num_classes=num_classes,
        run_config=run_config,
        partition_id=partition_id,
        num_partitions=num_partitions,
    )
    return Batches(
        images=pixels.to(device),
        labels=labels.to(device),
        num_classes=num_classes,
        batch_size=int(run_config["batch-size"]),
        generator=make_generator(int(run_config["seed"]), server_round, partition_id),
    )


def _moved(state: State, device: torch.device | str) -> State:
    return {name: value.detach().to(device) for name, value in state.items()}
