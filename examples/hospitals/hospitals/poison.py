r"""Honest reply to poisoned reply: what a compromised hospital does behind the app.

The attacker sits at one hospital and changes that node's own configuration. The server
is told nothing, and the other hospitals run the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Container

from flwr.app import ArrayRecord, Context, Message
from torch import Tensor

from hospitals.model import build_model

State = dict[str, Tensor]
Attack = Callable[[Tensor, Tensor, float], Tensor]
CallNext = Callable[[Message, Context], Message]


def sign_flip(trained: Tensor, received: Tensor, strength: float) -> Tensor:
    r"""Send :math:`w_g - s (w_m - w_g)`: the honest update reversed, ``s`` times."""
    return received - strength * (trained - received)


def not_a_number(trained: Tensor, _received: Tensor, _strength: float) -> Tensor:
    """Send NaN everywhere, as a broken training would."""
    return trained * float("nan")


ATTACKS: dict[str, Attack] = {"sign-flip": sign_flip, "nan": not_a_number}


def find_attack(name: str) -> Attack:
    """Return the attack of that name.

    Raises
    ------
    ValueError
        If there is none; the message lists those there are.
    """
    if name not in ATTACKS:
        allowed = ", ".join(repr(known) for known in ATTACKS)
        raise ValueError(
            f"unknown poison {name!r}: use one of {allowed}, or none at all"
        )
    return ATTACKS[name]


def poison(msg: Message, ctxt: Context, call_next: CallNext) -> Message:
    """Mod for training: attack the reply if this node's configuration says so."""
    reply = call_next(msg, ctxt)
    if reply.has_error() or "poison" not in ctxt.node_config:
        return reply
    reply.content["arrays"] = attack_arrays(
        find_attack(str(ctxt.node_config["poison"])),
        float(ctxt.node_config.get("poison-strength", 1.0)),
        names=parameter_names(str(ctxt.run_config["model"])),
        trained=reply.content["arrays"].to_torch_state_dict(),
        received=msg.content["arrays"].to_torch_state_dict(),
    )
    return reply


def attack_arrays(
    attack: Attack,
    strength: float,
    names: Container[str],
    trained: State,
    received: State,
) -> ArrayRecord:
    """Attack the named arrays; the others are sent as they were trained."""
    return ArrayRecord(
        {
            name: attack(value, received[name], strength) if name in names else value
            for name, value in trained.items()
        }
    )


def parameter_names(model: str) -> frozenset[str]:
    """Name the model's parameters, which batch norm's running statistics are not."""
    return frozenset(name for name, _ in build_model(model, seed=0).named_parameters())
