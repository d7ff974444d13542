"""Who is poisoned, by the run config."""

from __future__ import annotations

from bloodmnist.attacks import find_attack
from bloodmnist.attacks.boosting import as_trained
from bloodmnist.attacks.labels import find_relabel, keep
from bloodmnist.attacks.reply import REPLY_ATTACKS
from bloodmnist.run_config import RunConfig


def count_poisoned(run_config: RunConfig, num_partitions: int) -> int:
    """Count the poisoned clients: partitions 0 to the returned number minus one.

    Reads ``attack``, ``labels`` and ``fraction-malicious``. Without an attack and on
    clean labels nobody is poisoned.

    Raises
    ------
    ValueError
        If an attack or labels are unknown, or the fraction is not between 0 and 1.
    """
    attack, fraction = (
        str(run_config["attack"]),
        float(run_config["fraction-malicious"]),
    )
    is_honest_model = find_attack(attack) is as_trained and attack not in REPLY_ATTACKS
    is_honest_data = find_relabel(str(run_config["labels"])) is keep
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction-malicious must be from 0 to 1, got {fraction}")
    if is_honest_model and is_honest_data:
        return 0
    return round(fraction * num_partitions)


def is_poisoned(run_config: RunConfig, partition_id: int, num_partitions: int) -> bool:
    """Tell whether the client of this partition is poisoned."""
    return partition_id < count_poisoned(run_config, num_partitions)
