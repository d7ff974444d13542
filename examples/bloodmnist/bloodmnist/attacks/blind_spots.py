"""Attacks on what a score over the model's body does not see."""

from __future__ import annotations

from bloodmnist.attacks.view import AttackerView
from bloodmnist.model import State

MIN_KERNEL_AXES = 3


def head_only(view: AttackerView, *, scale: float = -30.0) -> State:
    """Send an honest body and a head whose update is ``scale`` times the own one.

    The paper's score looks at the input of the head and so never at the head. The head
    is the layer of the last parameter. A scale of 1 is honest.
    """
    layer = _layer(view.parameter_names[-1])
    head = [name for name in view.parameter_names if _layer(name) == layer]
    return view.send({name: view.boosted(name, scale) for name in head})


def buffer_only(view: AttackerView, *, shift: float = 50.0) -> State:
    """Send honest parameters and a ``shift`` on every running mean.

    No rule over parameters sees it, yet the model normalises by it when it is used. A
    shift of 0 is honest, and so is everything where nothing has a running mean.
    """
    means = [n for n in view.trained if n.rpartition(".")[2] == "running_mean"]
    return view.send({name: view.trained[name].double() + shift for name in means})


def bias_mimic(view: AttackerView, *, scale: float = -5.0) -> State:
    """Send honest biases, and convolution kernels whose update is ``scale`` times.

    On deltas the paper's features are the rectified sum of bias updates, so honest
    biases look honest. Kernels are the parameters with more than two axes; all others
    are sent as trained. A scale of 1 is honest.
    """
    kernels = [
        name
        for name in view.parameter_names
        if view.trained[name].ndim >= MIN_KERNEL_AXES
    ]
    return view.send({name: view.boosted(name, scale) for name in kernels})


def _layer(name: str) -> str:
    return name.rpartition(".")[0]
