"""Virtual samples to calls: one tensor, several by place, or several by name."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn

Samples = Tensor | tuple[Any, ...] | Mapping[str, Any]
"""What a model is called with: ``model(x)``, ``model(*x)`` or ``model(**x)``."""


def called(model: nn.Module, samples: Samples) -> Any:
    """Run a model on samples, in whichever way they are given."""
    if isinstance(samples, tuple):
        return model(*samples)
    if isinstance(samples, Mapping):
        return model(**samples)
    return model(samples)


def tensors_in(found: Any) -> Iterator[Tensor]:
    """Find the tensors in what a model or a layer takes or gives, in their order."""
    if isinstance(found, Tensor):
        yield found
    elif isinstance(found, Mapping):
        yield from tensors_in(list(found.values()))
    elif isinstance(found, list | tuple):
        for each in found:
            yield from tensors_in(each)


def mapped(change: Callable[[Tensor], Tensor], samples: Any) -> Any:
    """Change each tensor in some samples, and leave the rest as it is."""
    if isinstance(samples, Tensor):
        return change(samples)
    if isinstance(samples, Mapping):
        return {name: mapped(change, each) for name, each in samples.items()}
    if isinstance(samples, tuple):
        return tuple(mapped(change, each) for each in samples)
    if isinstance(samples, list):
        return [mapped(change, each) for each in samples]
    return samples


def count(samples: Samples) -> int | None:
    """Count the samples, or give None if the tensors differ in their first axis."""
    lengths = {len(each) if each.ndim else None for each in tensors_in(samples)}
    return lengths.pop() if len(lengths) == 1 else None


def batches(samples: Samples, num_batches: int) -> Iterator[Samples]:
    """Split the samples along the first axis, as equally as possible."""
    if num_batches == 1:
        yield samples
        return
    for place in range(num_batches):
        yield mapped(lambda each: each.tensor_split(num_batches)[place], samples)  # noqa: B023
