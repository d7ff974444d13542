"""A copy and few samples to a layout: the head, its rows, and what a run takes."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from math import ceil

import torch
from torch import Tensor, nn

from flwr_vdcs.errors import HeadNotFoundError, InputShapeError
from flwr_vdcs.probe._head import find_heads, starts_noted, taken
from flwr_vdcs.probe._model import LiveMemory, PrivateModel, free_memory
from flwr_vdcs.probe._reduction import MAX_COORDINATES, NUM_BUCKETS, Counted
from flwr_vdcs.probe._samples import Samples, count

BATCH_BYTES = 2**31
"""The virtual samples run in batches whose activations take no more than 2 GiB."""

MAX_PROBLEM = 200


@dataclass(frozen=True)
class Layout:
    """What a model makes of its samples.

    Attributes
    ----------
    heads : tuple of str
        The layers whose input are the features.
    num_features, num_answers : int
        How many numbers a row of their input has, and a row of their output.
    is_by_sample : bool
        Whether both have one row for each sample, along the samples' first axis.
    num_tried : int
        How many samples showed it.
    sample_bytes : int
        What the activations of one sample take; 0 if that cannot be told.
    """

    heads: tuple[str, ...]
    num_features: int
    num_answers: int
    is_by_sample: bool
    num_tried: int
    sample_bytes: int

    @property
    def is_projected(self) -> bool:
        """Whether features or answers are too many to be kept as they are."""
        return max(self.num_features, self.num_answers) > MAX_COORDINATES

    def num_batches(self, samples: Samples) -> int:
        """Tell in how many batches the samples run, so that the memory is enough.

        No batch is smaller than what was tried: the model may refuse it.
        """
        num_samples = count(samples)
        if num_samples is None or not self.is_by_sample or not self.sample_bytes:
            return 1
        size = max(self.num_tried, BATCH_BYTES // self.sample_bytes)
        return max(1, min(ceil(num_samples / size), num_samples // self.num_tried))

    def num_bytes(self, samples: Samples, num_clients: int) -> int:
        """Estimate what a round takes, besides the updates and the copy of the model.

        These are the activations of one batch, and twice what is kept of each client.
        """
        num_samples = count(samples) or self.num_tried
        batch = ceil(num_samples / self.num_batches(samples))
        width = min(max(self.num_features, self.num_answers), MAX_COORDINATES)
        kept = num_samples * width * torch.float32.itemsize
        return batch * self.sample_bytes + 2 * num_clients * kept


def layout_of(
    copied: PrivateModel,
    model: nn.Module,
    samples: Samples,
    asked: Sequence[str] | None,
) -> Layout:
    """Run a copy of a model for the first times.

    Raises
    ------
    InputShapeError
        If it refuses the samples.
    HeadNotFoundError
        If it has no such head.
    """
    started = _started(copied, model, samples)
    heads = find_heads(copied.module, started, asked)
    inputs, outputs = passed(copied, heads, samples)
    num_samples = count(samples)
    num_tried = num_samples or 1
    return Layout(
        heads=heads,
        num_features=inputs.width,
        num_answers=outputs.width,
        is_by_sample=inputs.num_rows == outputs.num_rows == {num_samples},
        num_tried=num_tried,
        sample_bytes=_live_bytes(copied, samples) // num_tried,
    )


def seen_with(layout: Layout, copied: PrivateModel, samples: Samples) -> Layout:
    """Run on as many samples as a round has, and see how long the rows are then."""
    inputs, outputs = passed(copied, layout.heads, samples)
    return replace(layout, num_features=inputs.width, num_answers=outputs.width)


def passed(
    copied: PrivateModel, heads: Sequence[str], samples: Samples
) -> tuple[Counted, Counted]:
    """Count what the heads are given, and what they give."""
    inputs, outputs = Counted(), Counted()
    layers = [copied.module.get_submodule(name) for name in heads]
    copied.run(samples, taken(layers, inputs.add, outputs.add))
    names = [name for name, _ in copied.module.named_modules() if name]
    for counted, says in ((inputs, "it is given"), (outputs, "it gives")):
        if len(counted.num_rows) != 1 or not counted.width:
            numbers = " and ".join(map(str, sorted(counted.num_rows)))
            found = f"{numbers} rows" if numbers else "no tensor"
            raise HeadNotFoundError(", ".join(heads), f"{says} {found}", names)
    return inputs, outputs


def refusal(samples: Samples, error: Exception) -> InputShapeError:
    """Say that a model refuses some samples, and what it said."""
    shape = tuple(samples.shape[1:]) if isinstance(samples, Tensor) else None
    return InputShapeError(shape, f"{type(error).__name__}: {error}"[:MAX_PROBLEM])


def cautions(layout: Layout, samples: Samples, device: torch.device) -> Iterator[str]:
    """Say what is to be known of the memory that a round takes."""
    needed, free = layout.num_bytes(samples, 1), free_memory(device)
    if free is not None and needed > free:
        yield (
            f"A round needs about {_gigabytes(needed)} of memory, of which "
            f"{_gigabytes(free)} are free on {device}: rounds may be skipped. Lower "
            "`num_virtual_samples`, or choose another `device`."
        )
    num_batches = layout.num_batches(samples)
    if num_batches > 1:
        yield (
            f"The virtual samples run in {num_batches} batches to save memory. Layers "
            "of batch normalisation take the statistics of each batch."
        )
    if layout.is_projected:
        yield (
            f"Samples have {layout.num_features:,} features and "
            f"{layout.num_answers:,} answers. Rows of more than {MAX_COORDINATES:,} "
            f"are projected to {NUM_BUCKETS:,}: cosines are off by about 0.01."
        )


def _started(copied: PrivateModel, model: nn.Module, samples: Samples) -> list[str]:
    """Run for the first time; half precision that does not run is widened."""
    started: list[str] = []
    try:
        copied.try_out(samples, model, starts_noted(copied.module, started))
    except Exception as error:  # whatever the user's model raises
        if copied.is_half:
            copied.widen()
            return _started(copied, model, samples)
        raise refusal(samples, error) from error
    return started


def _live_bytes(copied: PrivateModel, samples: Samples) -> int:
    """Measure what the activations take at most; 0 where that cannot be watched."""
    memory = LiveMemory()
    with suppress(Exception):  # it has run when it was not watched
        copied.run(samples, memory)
    return memory.peak


def _gigabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.1f} GB"
