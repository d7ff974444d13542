"""What a poisoned client knows when it attacks, and what it sends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from bloodmnist.model import State


@dataclass(frozen=True)
class AttackerView:
    r"""What one poisoned client knows in one round.

    Updates are differences to the received model, :math:`\Delta = w - w_g`, taken
    before anything else is done and in double precision: they are small against the
    weights.

    Parameters
    ----------
    trained : State
        :math:`w_m`, the result of this client's own training.
    received : State
        :math:`w_g`, the global model that the training started from.
    parameter_names : tuple of str
        Which arrays are parameters, in the model's order; the others are buffers.
    num_clients : int
        K, how many clients take part, poisoned ones included.
    num_malicious : int
        M, how many of them are poisoned.
    generator : torch.Generator
        Randomness of this client in this round.
    shared_generator : torch.Generator
        Randomness of this round, the same for all colluders.
    honest : callable
        Gives the trained states of the honest clients. Colluders have them because
        they know the others' data and repeat their training, which is
        deterministic; a call costs that training unless it was done before.
    momentum : State
        The way that the global model has come, which those know who have received
        all global models; empty for others.
    """

    trained: State
    received: State
    parameter_names: tuple[str, ...]
    num_clients: int
    num_malicious: int
    generator: torch.Generator
    shared_generator: torch.Generator
    honest: Callable[[], list[State]]
    momentum: State = field(default_factory=dict)

    def update(self, name: str) -> Tensor:
        """Subtract the received values from this client's own trained ones."""
        return self.trained[name].double() - self.received[name].double()

    def boosted(self, name: str, factor: float) -> Tensor:
        r"""Move :math:`b \Delta` away from the received values: :math:`w_m` at b = 1.

        Computed as :math:`w_m + (b - 1) \Delta`, which is exact at b = 1.
        """
        return self.trained[name] + (factor - 1) * self.update(name)

    def honest_states(self) -> list[State]:
        """Give the honest clients' trained states.

        Raises
        ------
        ValueError
            If all clients are poisoned.
        """
        states = self.honest()
        if not states:
            raise ValueError(
                "this attack copies honest clients, but all clients are poisoned: "
                "lower fraction-malicious"
            )
        return states

    def honest_updates(self) -> Iterator[tuple[str, Tensor]]:
        """Give each parameter's name and the honest clients' updates of it, stacked."""
        states = self.honest_states()
        for name in self.parameter_names:
            trained = torch.stack([state[name] for state in states]).double()
            yield name, trained.sub_(self.received[name].double())

    def send(self, attacked: State) -> State:
        """Send these arrays, in the dtypes of the model, and the others as trained."""
        cast = {n: value.to(self.trained[n].dtype) for n, value in attacked.items()}
        return self.trained | cast


Attack = Callable[[AttackerView], State]


def deviation(updates: Tensor) -> Tensor:
    """Compute the standard deviation of every coordinate over the clients.

    The population's, divided by their number, as for one client it is 0.
    """
    return (updates - updates.mean(0)).square_().mean(0).sqrt_()
