"""Model to trial: a round with made-up clients, through the real guard."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from flwr.app import ArrayRecord
from torch import Tensor, nn

from flwr_vdcs.admission.global_state import EncodedArrays, parameters_by_names
from flwr_vdcs.admission.npy import State
from flwr_vdcs.cli.checking.loading import said
from flwr_vdcs.cli.checking.memory import watched
from flwr_vdcs.cli.checking.setting import Setting
from flwr_vdcs.cli.outcome import InputError, ProblemError
from flwr_vdcs.errors import HeadNotFoundError, VirtualConsistencyError
from flwr_vdcs.flower.replies import Update, encoded_arrays
from flwr_vdcs.probe.probe import Probe
from flwr_vdcs.report import RoundReport
from flwr_vdcs.round import NUM_SAMPLES_TO_TRY, Guard
from flwr_vdcs.scoring.base import Scoring

STEP = 0.01
"""How far a made-up client goes, relative to the size of what it changes."""


@dataclass(frozen=True)
class Trial:
    """What came of it.

    Attributes
    ----------
    head : str
        The layer whose input are the features.
    num_features : int
        How many there are for each virtual sample.
    report : RoundReport
        The decisions on the made-up clients, one of whom had to be dropped.
    peaks : dict of str to int
        Bytes taken beyond the updates, by place.
    is_random : bool
        Whether the features change with the generators' seed.
    """

    head: str
    num_features: int
    report: RoundReport
    peaks: dict[str, int]
    is_random: bool


class Watched:
    """A scoring that tells whenever it has looked at a client."""

    def __init__(self, scoring: Scoring, tell: Callable[[], None]) -> None:
        self.name = scoring.name
        self._scoring = scoring
        self._tell = tell

    def features(self, probe: Probe, global_state: State, update: State) -> Any:
        """Look at one update."""
        found = self._scoring.features(probe, global_state, update)
        self._tell()
        return found

    def scores(self, features: Any) -> Tensor:
        """Score the updates."""
        return self._scoring.scores(features)

    def __getattr__(self, name: str) -> Any:
        """Have whatever else the scoring has."""
        return getattr(self._scoring, name)


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
    global_state = _encoded(model.state_dict())
    updates = [
        Update(f"client-{client}", _moved(model, client), 1)
        for client in range(1, setting.num_clients + 1)
    ]
    with watched(setting.device) as peaks:
        guard = _guard(model, setting, tell)
        guard.start_round(global_state)
        report = guard.examine(1, updates).report
    return Trial(
        guard.probe.head,
        guard.probe.num_features,
        report,
        peaks,
        _is_random(guard.probe, model.state_dict(), setting),
    )


def _guard(model: nn.Module, setting: Setting, tell: Callable[[], None]) -> Guard:
    return Guard(
        model=model,
        input_shape=setting.input_shape,
        num_malicious=1,
        num_virtual_samples=setting.num_virtual_samples,
        virtual_samples=setting.virtual_samples,
        head=setting.head,
        scoring=Watched(setting.scoring, tell),
        device=setting.device,
        seed=0,
        reputation=None,
    )


def _moved(model: nn.Module, client: int) -> EncodedArrays:
    """Make an update that leaves frozen parameters and buffers where they are."""
    generator = torch.Generator().manual_seed(client)
    state = dict(model.state_dict())
    for names, parameter in parameters_by_names(model):
        if parameter.requires_grad:
            near = _near(state[names[0]].cpu(), generator)
            state |= dict.fromkeys(names, near)
    return _encoded(state)


def _near(values: Tensor, generator: torch.Generator) -> Tensor:
    size = values.double().square().mean().sqrt().item() or 1.0
    step = torch.randn(values.shape, generator=generator) * STEP * size
    return values + step.to(values.dtype)


def _encoded(state: State) -> EncodedArrays:
    try:
        return encoded_arrays(ArrayRecord(dict(state)))
    except (TypeError, ValueError, AttributeError) as error:
        raise ProblemError(
            f"Flower cannot send the model's state_dict ({type(error).__name__}). Keep "
            "anything but tensors out of it, and use dtypes that NumPy has."
        ) from error


def _is_random(probe: Probe, state: State, setting: Setting) -> bool:
    """Look at the same virtual samples again, with generators in another state."""
    samples = setting.draw(NUM_SAMPLES_TO_TRY)

    def look(seed: int) -> Tensor:
        probe.start_round(samples, seed, state)
        return probe.features(lambda name, out: out.copy_(state[name]))

    return not torch.allclose(look(0), look(1), equal_nan=True)
