r"""Global states to momentum: which way the federation has been going.

In round t it is :math:`m_t = \lambda m_{t-1} + (w^g_t - w^g_{t-1})`, the heavy ball of
Polyak ("Some methods of speeding up the convergence of iteration methods", 1964). A
single step is mostly noise once a model has been trained for some rounds; what many
rounds have in common is not.
"""

from collections.abc import Collection

import torch

from flwr_vdcs.admission.npy import State

DECAY = 0.95
"""What is left of a step one round later: about twenty rounds count."""


class Momentum:
    """Follow the global model over the rounds.

    Parameters
    ----------
    names
        The parameters to follow.

    Attributes
    ----------
    state : dict of str to Tensor
        The momentum, in at least float32; empty in the first round.
    """

    def __init__(self, names: Collection[str]) -> None:
        self._names = names
        self._last: State | None = None
        self.state: dict[str, torch.Tensor] = {}

    def follow(self, global_state: State) -> None:
        """Take the step from the last global state to this one.

        The state is kept until the next one comes, so it must not be changed.
        """
        if self._last is not None:
            self.state = {
                name: _advanced(self.state.get(name), self._last[name], value)
                for name, value in global_state.items()
                if name in self._last
                and name in self._names
                and value.is_floating_point()
            }
        self._last = global_state


def _advanced(
    momentum: torch.Tensor | None, last: torch.Tensor, now: torch.Tensor
) -> torch.Tensor:
    dtype = torch.promote_types(now.dtype, torch.float32)
    step = now.to(dtype) - last.to(dtype)
    return step if momentum is None else momentum.mul_(DECAY).add_(step)
