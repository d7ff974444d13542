"""A model to its head: the final layer, found by running the model once."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from flwr_vdcs.admission import State, as_real
from flwr_vdcs.errors import HeadNotFoundError
from flwr_vdcs.probe._samples import tensors_in

WEIGHTS = ("weight", "weight_orig", "parametrizations.weight.original")
"""What a layer may call its weight."""

NORMALISED = (
    ("weight_v", "weight_g"),
    ("parametrizations.weight.original1", "parametrizations.weight.original0"),
)
"""What it may call direction and length of one that is normalised."""

Take = Callable[[Tensor], object]
"""Is given what passes through a layer, one row for each of its rows."""


@contextmanager
def starts_noted(model: nn.Module, started: list[str]) -> Iterator[None]:
    """Append the name of each module as it starts; the model itself is the first."""
    with ExitStack() as hooks:
        for name, module in model.named_modules():
            handle = module.register_forward_pre_hook(_appending(name, started))
            hooks.callback(handle.remove)
        yield


def find_heads(
    model: nn.Module, started: Sequence[str], asked: Sequence[str] | None
) -> tuple[str, ...]:
    """Name the last layer with parameters that starts, or check those asked for.

    A model that is one layer, such as ``nn.Linear``, is its own head; its name is
    empty.
    """
    layers = [name for name, module in model.named_modules() if _is_layer(name, module)]
    if asked is None:
        candidates = [name for name in started if name in layers]
        if not candidates:
            raise HeadNotFoundError(asked, "no layer with parameters runs", layers)
        return (candidates[-1],)
    for name in asked:
        if name not in started:
            known = name in dict(model.named_modules())
            problem = "it does not run" if known else "there is no such layer"
            raise HeadNotFoundError(name, problem, layers)
    return tuple(asked)


def is_of_any(heads: Sequence[str], name: str) -> bool:
    """Tell whether a parameter belongs to a head; all do if the model itself is one."""
    return any(not head or name.startswith(f"{head}.") for head in heads)


@contextmanager
def taken(
    heads: Sequence[nn.Module], inputs: Take | None = None, outputs: Take | None = None
) -> Iterator[None]:
    """Take what the heads are given, and what they give, each time one is called.

    Of several tensors it is the first.
    """

    def note_inputs(_module: nn.Module, args: Any, kwargs: Any) -> None:
        if inputs is not None:
            _take_first([args, kwargs], inputs)

    def note_outputs(_module: nn.Module, _args: Any, output: Any) -> None:
        if outputs is not None:
            _take_first(output, outputs)

    with ExitStack() as hooks:
        for head in heads:
            before = head.register_forward_pre_hook(note_inputs, with_kwargs=True)
            hooks.callback(before.remove)
            hooks.callback(head.register_forward_hook(note_outputs).remove)
        yield


def _is_layer(name: str, module: nn.Module) -> bool:
    """Count parametrised layers too, which keep their parameters one level down."""
    holds_parameters = next(module.parameters(recurse=False), None) is not None
    is_parametrisation = "parametrizations" in name.split(".")
    return not is_parametrisation and (
        holds_parameters or hasattr(module, "parametrizations")
    )


def _appending(name: str, started: list[str]) -> Callable[[nn.Module, Any], None]:
    return lambda _module, _inputs: started.append(name)


def _take_first(found: Any, take: Take) -> None:
    """Take the first tensor, if there is one; all but its first axis become one."""
    for tensor in islice(tensors_in(found), 1):
        real = as_real(tensor)
        take(real.flatten(1) if real.ndim > 1 else real.reshape(-1, 1))


def weight_of(state: State, head: str, layer: nn.Module) -> Tensor | None:
    """Give a head's weight, one row for each class, or None if it has no such matrix.

    A normalised one is put together.
    """
    prefix = f"{head}." if head else ""
    own = {name.removeprefix(prefix): name for name in state if name.startswith(prefix)}
    weights = [state[own[name]] for name in WEIGHTS if name in own]
    weights += [
        _normalised(state[own[direction]], state[own[length]])
        for direction, length in NORMALISED
        if direction in own and length in own
    ]
    matrices = [weight for weight in weights if weight.ndim > 1]
    if not matrices:
        return None
    return matrices[0].transpose(0, 1) if _is_transposed(layer) else matrices[0]


def _normalised(direction: Tensor, length: Tensor) -> Tensor:
    """Put a weight together: its length has one number for each of its rows."""
    axes = [axis for axis, size in enumerate(length.shape) if size == 1]
    norm: Tensor = torch.linalg.vector_norm(direction, dim=axes, keepdim=True)
    weight: Tensor = direction * (length / norm)
    return weight


def _is_transposed(layer: nn.Module) -> bool:
    """Tell whether a weight's second axis is that of the classes.

    So it is in transposed convolutions, and in the ``Conv1D`` of transformers, which
    calls the number of classes ``nf``.
    """
    return bool(getattr(layer, "transposed", hasattr(layer, "nf")))
