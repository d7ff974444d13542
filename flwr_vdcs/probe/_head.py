"""A model to its head: the final layer, found by running the model once."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from flwr_vdcs.errors import HeadNotFoundError, InputShapeError

MAX_PROBLEM = 200


def find_head(model: nn.Module, samples: Tensor, head: str | None) -> str:
    """Name the last layer with parameters that starts, or check the one given."""
    layers = [name for name, module in model.named_modules() if _is_layer(name, module)]
    started = _modules_in_order(model, samples)
    if head is None:
        candidates = [name for name in started if name in layers]
        if not candidates:
            raise HeadNotFoundError(head, "no layer with parameters runs", layers)
        return candidates[-1]
    if head not in started:
        known = head in dict(model.named_modules())
        problem = "it does not run" if known else "there is no such layer"
        raise HeadNotFoundError(head, problem, layers)
    return head


def _is_layer(name: str, module: nn.Module) -> bool:
    """Count parametrised layers too, which keep their parameters one level down."""
    holds_parameters = next(module.parameters(recurse=False), None) is not None
    is_parametrisation = "parametrizations" in name.split(".")
    return not is_parametrisation and (
        holds_parameters or hasattr(module, "parametrizations")
    )


def _modules_in_order(model: nn.Module, samples: Tensor) -> list[str]:
    """Run the model once and list its inner modules as they start."""
    started: list[str] = []
    hooks = [
        module.register_forward_pre_hook(_appending(name, started))
        for name, module in model.named_modules()
        if name
    ]
    try:
        with torch.no_grad():
            model(samples)
    except Exception as error:  # whatever the user's model raises
        problem = f"{type(error).__name__}: {error}"[:MAX_PROBLEM]
        raise InputShapeError(tuple(samples.shape[1:]), problem) from error
    finally:
        for hook in hooks:
            hook.remove()
    return started


def _appending(name: str, started: list[str]) -> Callable[[nn.Module, Any], None]:
    return lambda _module, _inputs: started.append(name)
