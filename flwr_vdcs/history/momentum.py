r"""Global states to momentum: which way the federation has been going.

In round t it is :math:`m_t = \lambda m_{t-1} + (w^g_t - w^g_{t-1})`, the heavy ball of
Polyak ("Some methods of speeding up the convergence of iteration methods", 1964). A
single step is mostly noise once a model has been trained for some rounds; what many
rounds have in common is not.
"""

import torch
from torch import Tensor

from flwr_vdcs.admission import State

MOMENTUM, LAST = "momentum/", "last/"
"""How the names of saved arrays begin."""

DECAY = 0.95
"""What is left of a step one round later: about twenty rounds count."""


class Momentum:
    """Follow the global model over the rounds.

    Attributes
    ----------
    state : dict of str to Tensor
        The momentum by parameter, in at least float32; empty in the first round.
    last : dict of str to Tensor
        The parameters of the last global model that was followed.
    """

    def __init__(self) -> None:
        self.state: dict[str, Tensor] = {}
        self.last: State = {}

    def follow(self, parameters: State) -> None:
        """Take the step from the last global model's parameters to these.

        They are kept until the next ones come, so they must not be changed.
        """
        if self.last:
            self.state = {
                name: _advanced(self.state.get(name), self.last[name], value)
                for name, value in parameters.items()
                if _is_step(self.last.get(name), value)
            }
        self.last = parameters

    def state_dict(self) -> dict[str, Tensor]:
        """Give copies of the momentum and of the last parameters."""
        momentum = {f"{MOMENTUM}{n}": t.clone() for n, t in self.state.items()}
        return momentum | {f"{LAST}{n}": t.clone() for n, t in self.last.items()}

    def load_state_dict(self, arrays: State) -> None:
        """Go on from a state.

        Raises
        ------
        KeyError, ValueError
            If it is no state of a momentum; then nothing is changed.
        """
        state, last = _named(MOMENTUM, arrays), _named(LAST, arrays)
        for name, tensor in state.items():
            if tensor.shape != last[name].shape or not tensor.is_floating_point():
                raise ValueError(f"the momentum of {name!r} does not fit its parameter")
        self.state, self.last = state, last


def _named(kind: str, arrays: State) -> dict[str, Tensor]:
    """Copy the arrays of one kind, as those of the momentum are changed in place."""
    return {
        name.removeprefix(kind): tensor.clone()
        for name, tensor in arrays.items()
        if name.startswith(kind)
    }


def _is_step(last: Tensor | None, now: Tensor) -> bool:
    """Tell whether there is a step from one to the other."""
    return now.is_floating_point() and last is not None and last.shape == now.shape


def _advanced(momentum: Tensor | None, last: Tensor, now: Tensor) -> Tensor:
    dtype = torch.promote_types(now.dtype, torch.float32)
    step = now.to(dtype) - last.to(dtype)
    return step if momentum is None else momentum.mul_(DECAY).add_(step)
