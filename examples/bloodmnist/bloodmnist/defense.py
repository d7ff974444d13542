"""Run config to strategy: plain averaging, the plugin around it, or a baseline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from flwr.serverapp.strategy import FedAvg, Strategy
from torch import nn

from bloodmnist.baselines import BASELINES, needs_validation
from bloodmnist.data import INPUT_SHAPE
from bloodmnist.feddyn_server import FedDyn
from bloodmnist.model import State
from bloodmnist.run_config import AUTO, TRUTH, RunConfig
from flwr_vdcs import Reputation, VirtualConsistencyStrategy

Validate = Callable[[State], tuple[float, float]]
OPTIONS: dict[str, Any] = {"fraction_evaluate": 0.0}


@dataclass(frozen=True)
class Federation:
    """What a strategy is built from.

    Attributes
    ----------
    run_config : RunConfig
        The settings.
    model : nn.Module
        The architecture.
    num_clients : int
        The number of all clients.
    num_poisoned : int
        How many of them are poisoned, in truth.
    validate : Validate
        Gives loss and error of a state on images that no client trains on.
    """

    run_config: RunConfig
    model: nn.Module
    num_clients: int
    num_poisoned: int
    validate: Validate

    @property
    def num_malicious(self) -> int | Literal["auto"]:
        """How many clients the defence assumes to be poisoned."""
        assumed = int(self.run_config["num-malicious"])
        if assumed == AUTO:
            return "auto"
        return self.num_poisoned if assumed == TRUTH else assumed


def build_strategy(federation: Federation) -> Strategy:
    """Build the strategy that the run config asks for.

    Raises
    ------
    ValueError
        If the defence is unknown, or is a baseline and the algorithm FedDyn, which has
        a server half of its own.
    """
    defense = str(federation.run_config["defense"])
    if defense in BASELINES:
        return _build_baseline(federation, defense)
    if defense not in DEFENSES:
        allowed = [*DEFENSES, *BASELINES]
        raise ValueError(f"unknown defense {defense!r}: use one of {allowed}")
    return DEFENSES[defense](federation)


def _average(federation: Federation) -> Strategy:
    """Build the algorithm's own server half."""
    if not _is_feddyn(federation):
        return FedAvg(**OPTIONS)
    return FedDyn(
        alpha=float(federation.run_config["alpha-dyn"]),
        num_clients=federation.num_clients,
        parameter_names=[name for name, _ in federation.model.named_parameters()],
        **OPTIONS,
    )


def _wrap(federation: Federation) -> Strategy:
    """Put the plugin around it; the seed makes its virtual samples reproducible."""
    config = federation.run_config
    return VirtualConsistencyStrategy(
        _average(federation),
        model=federation.model,
        input_shape=INPUT_SHAPE,
        num_malicious=federation.num_malicious,
        num_virtual_samples=int(config["num-virtual-samples"]),
        scoring=config["scoring"],
        equal_weights=bool(config["equal-weights"]),
        device=str(config["device"]),
        seed=int(config["seed"]),
        reputation=Reputation() if config["reputation"] else None,
    )


def _build_baseline(federation: Federation, name: str) -> Strategy:
    if _is_feddyn(federation):
        raise ValueError(
            f'algorithm="feddyn" has a server half of its own, which defense="{name}" '
            'would replace: use defense="none" or "vdcs"'
        )
    if federation.num_malicious == "auto":
        raise ValueError(
            f'defense="{name}" must be told num-malicious: -2 is for defense="vdcs"'
        )
    validation = {"validate": federation.validate} if needs_validation(name) else {}
    return BASELINES[name](
        num_malicious=federation.num_malicious, **validation, **OPTIONS
    )


def _is_feddyn(federation: Federation) -> bool:
    return federation.run_config["algorithm"] == "feddyn"


DEFENSES: dict[str, Callable[[Federation], Strategy]] = {
    "none": _average,
    "vdcs": _wrap,
}
