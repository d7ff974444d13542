"""Data attacks: what a poisoned client trains on."""

from __future__ import annotations

from torch import Tensor

from bloodmnist.attacks import generators
from bloodmnist.attacks.backdoor import plant
from bloodmnist.attacks.labels import find_relabel
from bloodmnist.attacks.roster import is_poisoned
from bloodmnist.run_config import RunConfig

BACKDOOR = "backdoor"


def poison_data(  # noqa: PLR0917 - as training hands it on
    images: Tensor,
    labels: Tensor,
    num_classes: int,
    run_config: RunConfig,
    partition_id: int,
    num_partitions: int,
) -> tuple[Tensor, Tensor]:
    """Tamper with a poisoned client's images and labels; leave an honest one's alone.

    Labels are flipped first; a backdoor's target label is not flipped again. Which
    images get the trigger depends on ``seed`` and the partition, not on the round.

    Parameters
    ----------
    images : Tensor of shape (n, channels, height, width)
        The client's images, normalised to [-1, 1].
    labels : Tensor of shape (n,)
        Their classes, as integers.
    num_classes : int
        C, how many classes there are.
    run_config : mapping
        ``attack``, ``labels``, ``fraction-malicious`` and ``seed`` are read.
    partition_id, num_partitions : int
        Which client this is, of how many.
    """
    if not is_poisoned(run_config, partition_id, num_partitions):
        return images, labels
    labels = find_relabel(str(run_config["labels"]))(labels, num_classes)
    if run_config["attack"] != BACKDOOR:
        return images, labels
    generator = generators.for_data(int(run_config["seed"]), partition_id)
    return plant(images, labels, generator)
