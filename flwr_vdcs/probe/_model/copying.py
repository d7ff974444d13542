"""A model to a private copy: the user's own is never run, moved or changed."""

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.parameter import is_lazy

from flwr_vdcs.admission import State
from flwr_vdcs.errors import InvalidArgumentError, listed

WRAPPERS = {
    "AbstractGradSampleModule": "_module",
    "DataParallel": "module",
    "DistributedDataParallel": "module",
    "OptimizedModule": "_orig_mod",
}
"""Classes that wrap a whole model, and where they keep it."""


def unwrapped(model: nn.Module) -> nn.Module:
    """Give the model in ``DataParallel``, ``torch.compile`` and the like."""
    for kind in type(model).__mro__:
        if kind.__name__ in WRAPPERS:
            return unwrapped(getattr(model, WRAPPERS[kind.__name__]))
    return model


def private_copy(model: nn.Module, device: torch.device) -> tuple[nn.Module, State]:
    """Copy the model, and give the running statistics that its layers now lack.

    Raises
    ------
    InvalidArgumentError
        If it is a model that cannot be copied or looked into.
    """
    _check_possible(model)
    private = _deep_copy(model).to(device).eval().requires_grad_(requires_grad=False)
    layers = {n: m for n, m in private.named_modules() if isinstance(m, _NormBase)}
    statistics = {
        f"{name}.{own_name}" if name else own_name: buffer
        for name, layer in layers.items()
        for own_name, buffer in layer.named_buffers(recurse=False)
        if own_name in {"running_mean", "running_var"}
    }
    for layer in layers.values():
        _normalise_by_samples(layer)
    for module in private.modules():
        _run_as_written(module)
    return private, statistics


def _check_possible(model: nn.Module) -> None:
    if isinstance(model, torch.jit.ScriptModule):
        raise InvalidArgumentError(
            "model",
            type(model).__name__,
            "the torch.nn.Module that it was made from, as no layer of a TorchScript "
            "model can be looked into",
        )
    arrays = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    lazy = [name for name, array in arrays.items() if is_lazy(array)]
    if lazy:
        raise InvalidArgumentError(
            "model",
            type(model).__name__,
            f"a model whose layers have their shapes, which {listed(lazy)} lack: run "
            "it once, on the server and on the clients, before it is used",
        )


def _deep_copy(model: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(model, {id(t): t.detach().clone() for t in _made(model)})
    except Exception as error:
        raise InvalidArgumentError(
            "model",
            type(model).__name__,
            f"a model that copy.deepcopy can copy ({type(error).__name__})",
        ) from error


def _made(model: nn.Module) -> Iterator[Tensor]:
    """Find tensors that a layer keeps of its last pass, which know what made them.

    The old ``weight_norm`` and ``spectral_norm`` keep such ones. PyTorch copies none.
    """
    for module in model.modules():
        for value in vars(module).values():
            kept = value if isinstance(value, list | tuple) else (value,)
            yield from (t for t in kept if isinstance(t, Tensor) and not t.is_leaf)


def _normalise_by_samples(layer: _NormBase) -> None:
    """Without running statistics a layer falls back to those of its input."""
    layer.track_running_stats = False
    layer.running_mean = layer.running_var = layer.num_batches_tracked = None


def _run_as_written(module: nn.Module) -> None:
    """Run what was compiled for other parameters as it was before."""
    if isinstance(inner := getattr(module, "_orig_mod", None), nn.Module):
        vars(module)["forward"] = inner


CONTAINERS = (list, dict, set)

Contents = list[tuple[nn.Module, dict[str, Any]]]


def contents_of(model: nn.Module) -> Contents:
    """Note what each module holds, so that every run can start from it.

    A recurrent model may keep its last state, and others count in their buffers.
    """
    return [(module, _copied(vars(module))) for module in model.modules()]


def put_back(contents: Contents) -> None:
    """Let each module hold what was noted, and nothing else; tensors are the same."""
    for module, noted in contents:
        vars(module).clear()
        vars(module).update(_copied(noted))


def _copied(contents: dict[str, Any]) -> dict[str, Any]:
    return {
        name: copy.copy(value) if type(value) in CONTAINERS else value
        for name, value in contents.items()
    }
