"""Model to anatomy: what it is made of that matters for scoring."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.parameter import is_lazy

from flwr_vdcs.cli.outcome import ProblemError
from flwr_vdcs.errors import listed

STOCHASTIC = (_DropoutNd, nn.RReLU, nn.FractionalMaxPool2d, nn.FractionalMaxPool3d)


@dataclass(frozen=True)
class Anatomy:
    """Layers and arrays of a model.

    Attributes
    ----------
    parameters, buffers : mapping of str to int
        How many numbers each has, by name; a parameter with several names is there
        once.
    num_bytes : int
        What all of them take, which is what an update takes.
    normalisation : tuple of str
        Layers with running statistics.
    stochastic : tuple of str
        Layers that draw random numbers in training.
    frozen : tuple of str
        Parameters that are not trained.
    """

    parameters: Mapping[str, int]
    buffers: Mapping[str, int]
    num_bytes: int
    normalisation: tuple[str, ...]
    stochastic: tuple[str, ...]
    frozen: tuple[str, ...]


def anatomy_of(model: nn.Module) -> Anatomy:
    """Look at a model without running it.

    Raises
    ------
    ProblemError
        If a layer has no shape yet.
    """
    parameters, buffers = dict(model.named_parameters()), dict(model.named_buffers())
    lazy = [name for name, each in (parameters | buffers).items() if is_lazy(each)]
    if lazy:
        raise ProblemError(
            f"lazy layers have no shape yet: {listed(lazy)}. Run the model once, on "
            "the server and on the clients, before it is used."
        )
    return Anatomy(
        parameters={name: each.numel() for name, each in parameters.items()},
        buffers={name: each.numel() for name, each in buffers.items()},
        num_bytes=sum(each.nbytes for each in (parameters | buffers).values()),
        normalisation=tuple(
            name
            for name, layer in model.named_modules()
            if isinstance(layer, _NormBase) and layer.running_mean is not None
        ),
        stochastic=tuple(
            name
            for name, layer in model.named_modules()
            if isinstance(layer, STOCHASTIC)
        ),
        frozen=tuple(n for n, each in parameters.items() if not each.requires_grad),
    )
