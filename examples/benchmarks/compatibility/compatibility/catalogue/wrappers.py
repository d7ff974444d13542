"""Wrapped models: compiled, parallel, scripted, normalised, lazy."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from compatibility.catalogue.small import NUM_COLUMNS, perceptron
from compatibility.entry import Entry

KIND = "Wrapped models"
SHAPE = {"input_shape": (NUM_COLUMNS,)}


def entries() -> list[Entry]:
    """List wrappers of torch."""
    entry = partial(Entry, KIND, library="torch", writes=SHAPE)
    return [
        entry(
            "DataParallel on the server",
            build=perceptron,
            serves=nn.DataParallel,
            served="nn.DataParallel(net)",
        ),
        entry("DataParallel everywhere", build=parallel),
        entry(
            "torch.compile on the server",
            build=perceptron,
            serves=torch.compile,
            served="torch.compile(net)",
        ),
        entry("torch.compile everywhere", build=compiled),
        entry(
            "TorchScript",
            build=perceptron,
            serves=scripted,
            served="torch.jit.script(net)",
            is_refused=True,
            instead="give the model that was scripted",
        ),
        entry("weight norm, parametrised", build=weight_normed),
        entry("weight norm, old", build=old_weight_normed),
        entry("spectral norm", build=spectrally_normed),
        entry(
            "lazy modules",
            build=perceptron,
            serves=lazy,
            served="net_with_lazy_layers",
            is_refused=True,
            instead="run the model once before it is given",
        ),
        entry("lazy modules, run once", build=run_once),
        entry(
            "half precision on the server",
            build=perceptron,
            serves=nn.Module.half,
            served="net.half()",
        ),
    ]


def parallel() -> nn.Module:
    """Build a model whose names begin with ``module.``."""
    return nn.DataParallel(perceptron())


def compiled() -> nn.Module:
    """Build a model whose names begin with ``_orig_mod.``."""
    return torch.compile(perceptron())


def scripted(model: nn.Module) -> nn.Module:
    """Script a model."""
    return torch.jit.script(model)


def weight_normed() -> nn.Module:
    """Normalise the weights of both layers."""
    normed = nn.utils.parametrizations.weight_norm
    model = perceptron()
    return nn.Sequential(normed(model[0]), nn.ReLU(), normed(model[2]))


def old_weight_normed() -> nn.Module:
    """Normalise the weights of both layers in the old way."""
    model = perceptron()
    normed = nn.utils.weight_norm
    return nn.Sequential(normed(model[0]), nn.ReLU(), normed(model[2]))


def spectrally_normed() -> nn.Module:
    """Normalise the first weight by its largest singular value."""
    model = perceptron()
    return nn.Sequential(
        nn.utils.parametrizations.spectral_norm(model[0]), nn.ReLU(), model[2]
    )


def lazy(_: nn.Module) -> nn.Module:
    """Leave it to the first run how wide the layers are."""
    return nn.Sequential(nn.LazyLinear(32), nn.ReLU(), nn.LazyLinear(3))


def run_once() -> nn.Module:
    """Run a lazy model once."""
    model = lazy(nn.Identity())
    model(torch.zeros(1, NUM_COLUMNS))
    return model
