"""Values to parameters: what travels is written, and nothing else."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from flwr_vdcs.admission import State, as_real

LoadParameter = Callable[[str, Tensor], object]
"""Write the parameter of that name into the tensor given."""

Named = tuple[tuple[str, ...], Tensor]
"""A parameter with its names."""


class Loader:
    """Writes into the parameters of a copy, on the CPU first if they are elsewhere."""

    def __init__(self) -> None:
        self._staging: dict[str, Tensor] = {}
        self._written: set[str] = set()

    def load(
        self, parameters: Iterable[Named], write: LoadParameter, global_state: State
    ) -> None:
        """Let those be written that are in the global state, under the name there."""
        for names, parameter in parameters:
            name = next((name for name in names if name in global_state), None)
            if name is None:
                self._check_own(names)
                continue
            self._load(name, as_real(parameter), write)
            self._written.update(names)

    def _load(self, name: str, target: Tensor, write: LoadParameter) -> None:
        if target.device.type == "cpu":
            write(name, target)
            return
        if name not in self._staging:
            self._staging[name] = torch.empty_like(target, device="cpu")
        write(name, self._staging[name])
        target.copy_(self._staging[name])

    def _check_own(self, names: tuple[str, ...]) -> None:
        """See that the copy still has the model's own value of what does not travel."""
        if not self._written.isdisjoint(names):
            raise ValueError(f"{names[0]} travelled before, and does not any more")


def travels(names: Iterable[str], state: State) -> bool:
    """Tell whether a parameter is in a state, under one of its names."""
    return any(name in state for name in names)


def copying(state: State) -> LoadParameter:
    """Write the values of a state."""
    return lambda name, out: out.copy_(state[name])
