"""Who lies in a federation, and how."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from bloodmnist.attacks import ATTACKS as KNOWN
from bloodmnist.attacks import Attack, AttackerView
from bloodmnist.model import State

from federations.samples import Samples
from federations.tasks import Task


def reverse_longest(view: AttackerView, *, scale: float = -10.0) -> State:
    """Send an honest update but for its largest array, which is reversed tenfold."""
    name = max(view.parameter_names, key=lambda n: view.trained[n].numel())
    return view.send({name: view.boosted(name, scale)})


def half_noise(view: AttackerView) -> State:
    """Send the mean of the own update and noise of an honest update's length."""
    noise = KNOWN["gaussian"](view)
    return view.send(
        {n: (view.trained[n] + noise[n].double()) / 2 for n in view.parameter_names}
    )


@dataclass(frozen=True)
class Poison:
    """One way to lie.

    Attributes
    ----------
    send
        From what an attacker knows to what it sends.
    flips
        Whether it trains on the attacker's labels.
    is_gross
        Whether the update is far longer than an honest one.
    """

    send: Attack
    flips: bool = False
    is_gross: bool = False


ATTACKS: dict[str, Poison] = {
    "x11": Poison(KNOWN["tmp-paper"], is_gross=True),
    "x11-flipped": Poison(KNOWN["tmp-paper"], flips=True, is_gross=True),
    "tmp-authors": Poison(KNOWN["tmp-authors"], is_gross=True),
    "ump-paper": Poison(KNOWN["ump-paper"], is_gross=True),
    "ump-sybil": Poison(KNOWN["ump-sybil"], is_gross=True),
    "x100": Poison(KNOWN["boost-100"], is_gross=True),
    "reversed": Poison(KNOWN["sign-flip"]),
    "reversed-10": Poison(KNOWN["sign-flip-10"], is_gross=True),
    "ipm-0.5": Poison(KNOWN["ipm-0.5"]),
    "ipm-10": Poison(KNOWN["ipm-10"], is_gross=True),
    "flipped": Poison(KNOWN["none"], flips=True),
    "doubled": Poison(KNOWN["boost-2"]),
    "noise": Poison(KNOWN["gaussian"]),
    "noise-sybil": Poison(KNOWN["gaussian-sybil"]),
    "half-noise": Poison(half_noise),
    "free-rider": Poison(KNOWN["free-rider"]),
    "head-30": Poison(KNOWN["head-only"], is_gross=True),
    "one-layer": Poison(reverse_longest),
    "kernels": Poison(partial(KNOWN["bias-mimic"], scale=-1.0)),
    "bias-mimic": Poison(KNOWN["bias-mimic"]),
    "buffers": Poison(KNOWN["buffer-only"]),
    "alie": Poison(KNOWN["alie"]),
    "min-max": Poison(KNOWN["min-max"]),
    "min-sum": Poison(KNOWN["min-sum"]),
    "mimic": Poison(KNOWN["mimic"]),
    "drift": Poison(KNOWN["slow-drift"]),
}
"""Every attack that needs no memory, by its name."""

HONEST = Poison(KNOWN["none"])


def choose_liars(who: str, sizes: Sequence[int]) -> frozenset[int]:
    """Name the hospitals that lie.

    Parameters
    ----------
    who
        ``"largest"``, ``"median"``, ``"smallest"``, ``"nobody"``, or a share of all
        hospitals, every so manieth by size, such as ``"0.3"``.
    sizes
        How many samples each hospital has.
    """
    order = sorted(range(len(sizes)), key=lambda place: -sizes[place])
    single = {"largest": 0, "median": len(order) // 2, "smallest": len(order) - 1}
    if who == "nobody":
        return frozenset()
    if who in single:
        return frozenset({order[single[who]]})
    number = int(float(who) * len(order) + 1e-9)
    places = [round(n * (len(order) - 1) / max(1, number - 1)) for n in range(number)]
    return frozenset(order[place] for place in places)


def poisoned_samples(samples: Samples, poison: Poison, task: Task) -> Samples:
    """Give what an attacker trains on."""
    if not poison.flips:
        return samples
    return Samples(samples.inputs, task.flip(samples.labels))


def look(  # noqa: PLR0917 - all that an attacker knows
    trained: State,
    received: State,
    parameter_names: tuple[str, ...],
    honest: Callable[[], list[State]],
    counts: tuple[int, int],
    seeds: tuple[int, int],
) -> AttackerView:
    """Gather what an attacker knows.

    Parameters
    ----------
    counts
        How many hospitals take part, and how many of them lie.
    seeds
        Of its own noise, and of the colluders'.
    """
    own, shared = (torch.Generator().manual_seed(seed) for seed in seeds)
    return AttackerView(
        trained, received, parameter_names, *counts, own, shared, honest
    )
