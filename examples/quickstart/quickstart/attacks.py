r"""Attacks of a poisoned client, and the mod that applies one to its reply.

An attack turns the parameters that the client trained, :math:`w_m`, and those it
received, :math:`w_g`, into the ones it sends. Batch-norm buffers (running mean,
running variance, number of batches) are not parameters: a poisoned client sends
them as its honest training left them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from flwr.app import ArrayRecord, Context, Message
from torch import Tensor

from quickstart.data import make_generator
from quickstart.model import build_model

Parameters = dict[str, Tensor]
Attack = Callable[[Parameters, Parameters, torch.Generator], Parameters]
CallNext = Callable[[Message, Context], Message]

UNTARGETED_SCALE = 10.0
TARGETED_SCALE = 10.0


def untargeted(
    trained: Parameters, received: Parameters, generator: torch.Generator
) -> Parameters:
    r"""Send :math:`\tau (w' - w_g)` with :math:`w' \sim N(0, I)` and :math:`\tau = 10`.

    Eqs. 11 and 12 of the paper. What the client trained plays no part but for the
    shapes. All values are parameters; buffers are left to the caller.
    """
    return {
        name: UNTARGETED_SCALE * (_noise(value, generator) - received[name])
        for name, value in trained.items()
    }


def targeted(
    trained: Parameters, received: Parameters, _generator: torch.Generator
) -> Parameters:
    r"""Send :math:`w_m + \lambda (w_m - w_g)` with :math:`\lambda = 10`.

    Eqs. 9 and 10 of the paper on *clean* labels: an honest update, eleven times as
    long. All values are parameters; buffers are left to the caller.
    """
    return {
        name: value + TARGETED_SCALE * (value - received[name])
        for name, value in trained.items()
    }


def sign_flip(
    trained: Parameters, received: Parameters, _generator: torch.Generator
) -> Parameters:
    r"""Send :math:`w_g - (w_m - w_g)`: the honest update, reversed.

    All values are parameters; buffers are left to the caller.
    """
    return {name: 2 * received[name] - value for name, value in trained.items()}


def honest(
    trained: Parameters, _received: Parameters, _generator: torch.Generator
) -> Parameters:
    """Send what was trained."""
    return trained


ATTACKS: dict[str, Attack] = {
    "none": honest,
    "untargeted": untargeted,
    "targeted": targeted,
    "sign-flip": sign_flip,
}


def find_attack(name: str) -> Attack:
    """Return the attack of that name.

    Raises
    ------
    ValueError
        If there is none; the message lists those there are.
    """
    if name not in ATTACKS:
        allowed = ", ".join(repr(known) for known in ATTACKS)
        raise ValueError(f"unknown attack {name!r}: use one of {allowed}")
    return ATTACKS[name]


def count_poisoned(attack: str, fraction: float, num_partitions: int) -> int:
    """Count the poisoned clients: partitions 0 to the returned number minus one.

    Raises
    ------
    ValueError
        If the attack is unknown or the fraction is not between 0 and 1.
    """
    if find_attack(attack) is honest:
        return 0
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction-malicious must be from 0 to 1, got {fraction}")
    return round(fraction * num_partitions)


def poison(msg: Message, ctxt: Context, call_next: CallNext) -> Message:
    """Mod for training: a poisoned client's reply leaves with attacked parameters."""
    reply = call_next(msg, ctxt)
    if reply.has_error() or not _is_poisoned(ctxt):
        return reply

    seed, partition_id = ctxt.run_config["seed"], ctxt.node_config["partition-id"]
    server_round = msg.content["config"]["server-round"]
    reply.content["arrays"] = attack_arrays(
        find_attack(str(ctxt.run_config["attack"])),
        trained=reply.content["arrays"],
        received=msg.content["arrays"],
        generator=make_generator(seed, server_round, partition_id),
    )
    return reply


def attack_arrays(
    attack: Attack,
    trained: ArrayRecord,
    received: ArrayRecord,
    generator: torch.Generator,
) -> ArrayRecord:
    """Apply the attack to the model's parameters, and to nothing else."""
    state, start = trained.to_torch_state_dict(), received.to_torch_state_dict()
    names = [name for name, _ in build_model(seed=0).named_parameters()]
    attacked = attack(_pick(state, names), _pick(start, names), generator)
    return ArrayRecord(state | attacked)


def _is_poisoned(ctxt: Context) -> bool:
    num_poisoned = count_poisoned(
        str(ctxt.run_config["attack"]),
        float(ctxt.run_config["fraction-malicious"]),
        int(ctxt.node_config["num-partitions"]),
    )
    return int(ctxt.node_config["partition-id"]) < num_poisoned


def _noise(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator, dtype=like.dtype)


def _pick(state: Parameters, names: list[str]) -> Parameters:
    return {name: state[name] for name in names}
