"""A model to the arrays that travel, and back."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from torch import Tensor, nn

State = dict[str, Tensor]


@dataclass(frozen=True)
class Exchange:
    """Which arrays travel, and under which keys.

    Attributes
    ----------
    says
        What it is, for the table.
    take
        Gives what a model sends.
    put
        Writes what was sent into a model.
    """

    says: str
    take: Callable[[nn.Module], State]
    put: Callable[[nn.Module, State], object]


def named(says: str, is_sent: Callable[[str], bool], prefix: str = "") -> Exchange:
    """Send those arrays of the ``state_dict`` whose names are wanted."""

    def take(model: nn.Module) -> State:
        own = model.state_dict()
        return {f"{prefix}{name}": own[name] for name in own if is_sent(name)}

    def put(model: nn.Module, sent: State) -> None:
        own = {key.removeprefix(prefix): array for key, array in sent.items()}
        model.load_state_dict(own, strict=False)

    return Exchange(says, take, put)


def listed(says: str, names_of: Callable[[nn.Module], Collection[str]]) -> Exchange:
    """Send arrays as a list without names."""

    def take(model: nn.Module) -> State:
        own = model.state_dict()
        return {str(place): own[name] for place, name in enumerate(names_of(model))}

    def put(model: nn.Module, sent: State) -> None:
        own = dict(zip(names_of(model), sent.values(), strict=True))
        model.load_state_dict(own, strict=False)

    return Exchange(says, take, put)


def _trainable(model: nn.Module) -> list[str]:
    return [name for name, each in model.named_parameters() if each.requires_grad]


def _uncounted(model: nn.Module) -> list[str]:
    return [n for n in model.state_dict() if not n.endswith("num_batches_tracked")]


WHOLE = named("the whole `state_dict`", lambda _: True)
TRAINABLE = listed("a list of the trainable parameters", _trainable)
PARAMETERS = listed(
    "a list of the parameters", lambda model: dict(model.named_parameters())
)
UNCOUNTED = listed("a list without batch counters", _uncounted)


def without(says: str, *parts: str) -> Exchange:
    """Send all but the layers whose names begin so."""
    return named(says, lambda name: not name.startswith(parts))


def only(says: str, *parts: str) -> Exchange:
    """Send the layers whose names begin so."""
    return named(says, lambda name: name.startswith(parts))


def adapters() -> Exchange:
    """Send what peft saves, under the names that it gives."""

    def take(model: nn.Module) -> State:
        from peft import get_peft_model_state_dict

        return dict(get_peft_model_state_dict(model))

    def put(model: nn.Module, sent: State) -> None:
        from peft import set_peft_model_state_dict

        set_peft_model_state_dict(model, sent)

    return Exchange("the adapters, as peft saves them", take, put)
