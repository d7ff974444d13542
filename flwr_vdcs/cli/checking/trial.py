"""Model to trial: a round with made-up clients, examined as any other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from rich.filesize import decimal
from torch import Tensor, nn

from flwr_vdcs.admission import State, parameters_by_names
from flwr_vdcs.cli.checking.loading import said
from flwr_vdcs.cli.checking.memory import watched
from flwr_vdcs.cli.checking.setting import Setting
from flwr_vdcs.cli.outcome import InputError, ProblemError
from flwr_vdcs.errors import HeadNotFoundError, VirtualConsistencyError
from flwr_vdcs.probe import Probe, RoundContext, free_memory, is_of_any, probe_for
from flwr_vdcs.report import RoundReport
from flwr_vdcs.round import examine_round
from flwr_vdcs.scoring import DelegatingScoring, Scoring

STEP = 0.01
"""How far a made-up client goes, relative to the size of what it changes."""


@dataclass(frozen=True)
class Trial:
    """What came of it.

    Attributes
    ----------
    heads : sequence of str
        The layers whose input are the features.
    num_tried : int
        How many samples the model was tried with first.
    estimate : int
        About how many bytes a round takes beyond the updates, told before it ran.
    num_features : int
        How many there are for each virtual sample.
    report : RoundReport
        The decisions on the made-up clients, one of whom had to be dropped.
    peaks : dict of str to int
        Bytes taken beyond the updates, by place.
    is_random : bool
        Whether the features change with the generators' seed.
    """

    heads: Sequence[str]
    num_tried: int
    estimate: int
    num_features: int
    report: RoundReport
    peaks: dict[str, int]
    is_random: bool

    @property
    def features_of(self) -> str:
        """Say what the features are: what ``'fc' is given``."""
        named = " and ".join(repr(head) for head in self.heads)
        return f"{named} {'is' if len(self.heads) == 1 else 'are'} given"

    @property
    def quoted_heads(self) -> str:
        """The names of the heads, quoted."""
        return " or ".join(repr(head) for head in self.heads)

    def is_of_head(self, name: str) -> bool:
        """Tell whether a parameter belongs to one of them."""
        return is_of_any(self.heads, name)


class Watched(DelegatingScoring):
    """A scoring that tells whenever it has looked at a client."""

    def __init__(self, scoring: Scoring, tell: Callable[[], None]) -> None:
        super().__init__(scoring)
        self._tell = tell

    def features(
        self, context: RoundContext, global_state: State, update: State
    ) -> Any:
        """Look at one update."""
        found = super().features(context, global_state, update)
        self._tell()
        return found


def try_out(model: nn.Module, setting: Setting, tell: Callable[[], None]) -> Trial:
    """Let clients move the model a little each, and examine them.

    Raises
    ------
    InputError
        If the model does not run as it is told to.
    ProblemError
        If no server could protect it.
    """
    try:
        return _tried(model, setting, tell)
    except HeadNotFoundError as error:
        kind = ProblemError if setting.head is None else InputError
        raise kind(str(error)) from error
    except VirtualConsistencyError as error:
        raise InputError(str(error)) from error
    except InputError:
        raise
    except Exception as error:  # whatever the model or its virtual samples do
        raise InputError(
            f"the model cannot be tried: {said(error)}. See that it runs on the "
            "virtual samples, on the CPU or the --device that you name."
        ) from error


def _tried(model: nn.Module, setting: Setting, tell: Callable[[], None]) -> Trial:
    global_state = _sendable(model.state_dict())
    updates = {
        f"client-{client}": _moved(model, client)
        for client in range(1, setting.num_clients + 1)
    }
    probe = probe_for(
        model, setting.draw, setting.num_virtual_samples, setting.head, setting.device
    )
    model_bytes = sum(array.nbytes for array in global_state.values())
    estimate = _estimated(probe, model_bytes, setting)
    is_random = _is_random(probe, model.state_dict(), setting)
    with watched(setting.device) as peaks:
        found = examine_round(
            model,
            global_state,
            updates,
            input_shape=setting.input_shape,
            num_malicious=1,
            num_virtual_samples=setting.num_virtual_samples,
            virtual_samples=setting.virtual_samples,
            head=setting.head,
            scoring=Watched(setting.scoring, tell),
            device=setting.device,
            seed=0,
        )
    return Trial(
        probe.heads,
        probe.layout.num_tried,
        estimate,
        found.num_features,
        found.report,
        peaks,
        is_random,
    )


def _moved(model: nn.Module, client: int) -> State:
    """Make an update that leaves frozen parameters and buffers where they are."""
    generator = torch.Generator().manual_seed(client)
    state = dict(model.state_dict())
    for names, parameter in parameters_by_names(model):
        if parameter.requires_grad:
            near = _near(state[names[0]].cpu(), generator)
            state |= dict.fromkeys(names, near)
    return state


def _near(values: Tensor, generator: torch.Generator) -> Tensor:
    size = values.double().square().mean().sqrt().item() or 1.0
    step = torch.randn(values.shape, generator=generator) * STEP * size
    return values + step.to(values.dtype)


def _sendable(state: State) -> State:
    """Give a state that Flower can send: it turns each value into a NumPy array."""
    try:
        for value in state.values():
            Tensor.numpy(value.cpu() if isinstance(value, Tensor) else value)
    except (TypeError, ValueError) as error:
        raise ProblemError(
            f"Flower cannot send the model's state_dict ({type(error).__name__}). Keep "
            "anything but tensors out of it, and use dtypes that NumPy has."
        ) from error
    return state


def _estimated(probe: Probe, model_bytes: int, setting: Setting) -> int:
    """Estimate what a round takes, with one copy of the model, before it runs."""
    samples = setting.draw(setting.num_virtual_samples)
    needed = model_bytes + probe.layout.num_bytes(samples, setting.num_clients)
    free = free_memory(setting.device)
    if free is not None and needed > free:
        raise ProblemError(
            f"a round would take about {decimal(needed)} besides the updates, of which "
            f"{decimal(free)} are free on {setting.device}. Lower "
            "--num-virtual-samples, or name another --device."
        )
    return needed


def _is_random(probe: Probe, state: State, setting: Setting) -> bool:
    """Look at the same virtual samples twice, with generators in another state."""
    samples = probe.prepared(setting.draw(probe.layout.num_tried))

    def look(seed: int) -> Tensor:
        return RoundContext(probe, samples, seed, state).global_answers

    return not torch.allclose(look(0), look(1), equal_nan=True)
