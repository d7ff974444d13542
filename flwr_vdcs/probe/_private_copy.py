"""A model to a private copy: the user's own is never run, moved or changed."""

import copy

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from flwr_vdcs.admission import State
from flwr_vdcs.errors import InvalidArgumentError

HALF = (torch.float16, torch.bfloat16)


def private_copy(model: nn.Module, device: torch.device) -> tuple[nn.Module, State]:
    """Copy the model, and give the running statistics that its layers now lack."""
    private = _deep_copy(model).to(device).eval().requires_grad_(requires_grad=False)
    if any(p.dtype in HALF for p in private.parameters()):
        private = private.float()
    layers = {n: m for n, m in private.named_modules() if isinstance(m, _NormBase)}
    statistics = {
        f"{name}.{own_name}" if name else own_name: buffer.clone()
        for name, layer in layers.items()
        for own_name, buffer in layer.named_buffers(recurse=False)
        if own_name in {"running_mean", "running_var"}
    }
    for layer in layers.values():
        _normalise_by_samples(layer)
    return private, statistics


def _deep_copy(model: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(model)
    except Exception as error:
        raise InvalidArgumentError(
            "model",
            type(model).__name__,
            f"a model that copy.deepcopy can copy ({type(error).__name__})",
        ) from error


def _normalise_by_samples(layer: _NormBase) -> None:
    """Without running statistics a layer falls back to those of its input."""
    layer.track_running_stats = False
    layer.running_mean = layer.running_var = layer.num_batches_tracked = None


def floating_dtype(model: nn.Module) -> torch.dtype:
    """Give the dtype of the first real parameter, in which samples are given."""
    dtypes = [p.dtype for p in model.parameters() if p.is_floating_point()]
    return dtypes[0] if dtypes else torch.get_default_dtype()
