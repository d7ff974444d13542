"""Parameters to features: what the model sees in the virtual samples."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from flwr_vdcs.admission import State, parameters_by_names
from flwr_vdcs.errors import HeadNotFoundError
from flwr_vdcs.probe._head import find_head
from flwr_vdcs.probe._private_copy import floating_dtype, private_copy

LoadParameter = Callable[[str, Tensor], object]
"""Write the parameter of that name into the tensor given."""

Capture = Callable[[nn.Module, list[Tensor]], RemovableHandle]
"""Collect what passes through a layer, until the handle is removed."""

Named = tuple[tuple[str, ...], Tensor, Tensor]
"""A parameter's names, itself, and the tensor on the CPU to put it together in."""


class Probe:
    """A private copy of the model, run without its final classification layer.

    The features are the input of that layer, the head, in the model's real forward
    pass, flattened per sample (Eqs. 15 and 16). The copy runs in evaluation mode,
    so dropout is off, except that normalisation layers use the statistics of the
    virtual samples instead of their running ones. The model itself is not touched.

    Parameters
    ----------
    model
        Architecture; at most half precision is widened to float32.
    samples
        At least one input, to find the head with.
    head
        Name of the head, or None to take the last layer with parameters that starts
        during a forward pass.
    device
        Where the copy lives and runs.

    Attributes
    ----------
    head
        Name of the head.
    parameter_names, buffer_names
        All names of all parameters, and of floating buffers but running statistics.
    num_features
        How many features a sample has.

    Raises
    ------
    InputShapeError
        If the model refuses the samples.
    HeadNotFoundError
        If there is no such layer, or it does not run on one row per sample.
    """

    def __init__(
        self, model: nn.Module, samples: Tensor, head: str | None, device: torch.device
    ) -> None:
        self.device = device
        self._model, self._statistics = private_copy(model, device)
        self._dtype = floating_dtype(self._model)
        self._own_buffers = {n: b.clone() for n, b in self._model.named_buffers()}
        self.buffer_names = frozenset(
            name for name, b in self._own_buffers.items() if b.is_floating_point()
        )
        samples = self.prepared(samples)
        with _generators_kept(device):
            self.head = find_head(self._model, samples, head)
        known = [
            (names, p, _staging(p)) for names, p in parameters_by_names(self._model)
        ]
        self._parameters = [each for each in known if not self._is_of_head(each[0])]
        self._head_parameters = [each for each in known if self._is_of_head(each[0])]
        self.parameter_names = frozenset(name for names, *_ in known for name in names)
        self.num_features = self._checked_width(samples)

    def is_of_head(self, name: str) -> bool:
        """Tell whether a parameter belongs to the head."""
        return name.startswith(f"{self.head}.")

    def prepared(self, samples: Tensor) -> Tensor:
        """Bring virtual samples to the device, in the dtype of the parameters."""
        dtype = self._dtype if samples.is_floating_point() else samples.dtype
        return samples.to(self.device, dtype)

    def buffers_of(self, global_state: State) -> State:
        """Give all buffers, those of a global state where it has them."""
        return {
            name: global_state[name].to(buffer) if name in global_state else buffer
            for name, buffer in self._own_buffers.items()
        }

    @torch.no_grad()
    def features(
        self, load: LoadParameter, context: "RoundContext"
    ) -> Float[Tensor, "samples features"]:
        """Run the model with other parameters and give its features, on the CPU.

        Parameters
        ----------
        load
            Called as ``load(name, out)`` for each parameter outside the head.
        context
            The round, with the virtual samples to run on.
        """
        self._load(self._parameters, load, context.global_state)
        self._set_buffers(context.buffers)
        features = self._run(context.samples, context.seed)
        if features.shape != (len(context.samples), self.num_features):
            raise ValueError(f"the features have shape {tuple(features.shape)}")
        return features

    @torch.no_grad()
    def answers(
        self, state: State, context: "RoundContext"
    ) -> Float[Tensor, "samples answers"]:
        """Run the whole model with a state of its own and give its head's output.

        It runs as it would be used: normalisation layers take their running statistics
        from the state, if it has them. Integer buffers are the global model's, as a
        place to look something up must not come from a client.
        """
        known = [*self._parameters, *self._head_parameters]
        self._load(known, lambda n, out: out.copy_(state[n]), context.global_state)
        own = {**context.buffers, **self._statistics}
        sent = {
            name: state[name].to(buffer)
            for name, buffer in own.items()
            if name in state and buffer.is_floating_point()
        }
        self._set_buffers({**context.buffers, **sent})
        try:
            return self._run(context.samples, context.seed, _capture_output)
        finally:
            for name in self._statistics:
                _set_buffer(self._model, name, None)

    def _is_of_head(self, names: Iterable[str]) -> bool:
        """Tell whether it is the head's alone: no other layer shares it."""
        return all(map(self.is_of_head, names))

    @staticmethod
    def _load(
        parameters: list[Named], load: LoadParameter, global_state: State
    ) -> None:
        for names, parameter, staging in parameters:
            load(next(name for name in names if name in global_state), staging)
            if staging is not parameter:
                parameter.copy_(staging)

    def _set_buffers(self, buffers: State) -> None:
        for name, buffer in buffers.items():
            _set_buffer(self._model, name, buffer.clone())

    def _checked_width(self, samples: Tensor) -> int:
        features = self._run(samples, seed=0)
        if features.shape[0] != len(samples):
            found = f"its input has {features.shape[0]} rows for {len(samples)} samples"
            layers = [name for name, module in self._model.named_modules() if name]
            raise HeadNotFoundError(self.head, found, layers)
        return features.shape[1]

    @torch.no_grad()
    def _run(
        self, samples: Tensor, seed: int, capture: Capture | None = None
    ) -> Float[Tensor, "samples features"]:
        """Layers that draw random numbers all the same draw them alike every time."""
        captured: list[Tensor] = []
        head = self._model.get_submodule(self.head)
        hook = (capture or _capture_input)(head, captured)
        try:
            with _seeded(seed, self.device):
                self._model(samples)
        finally:
            hook.remove()
        rows = [part.flatten(1) for part in captured]
        return torch.cat(rows, dim=1).cpu()


@dataclass(frozen=True)
class RoundContext:
    """A round as the clients saw it that were sent one and the same model.

    This is what a scoring is given besides the update that it looks at.

    Attributes
    ----------
    probe : Probe
        The model, to be run by `features` and `answers`.
    samples : Tensor
        The virtual samples, ``(N, *input_shape)``, on the probe's device.
    seed : int
        The seed that they were drawn from, for whatever else is drawn.
    global_state : dict
        The arrays that these clients were sent, by the model's names.
    momentum : dict
        The way that the global model has come, by the names of parameters; empty in
        the first round.
    server_round : int
        Flower's number of the round.
    """

    probe: Probe
    samples: Tensor = field(repr=False)
    seed: int
    global_state: State = field(repr=False)
    momentum: State = field(default_factory=dict, repr=False)
    server_round: int = 1

    def at(self, global_state: State) -> "RoundContext":
        """Give the same round to clients that were sent another model."""
        if global_state is self.global_state:
            return self
        return replace(self, global_state=global_state)

    @property
    def parameter_names(self) -> frozenset[str]:
        """All names of all parameters of the model."""
        return self.probe.parameter_names

    @cached_property
    def buffers(self) -> State:
        """The model's buffers, those of the global state where it has them."""
        return self.probe.buffers_of(self.global_state)

    @cached_property
    def global_answers(self) -> Float[Tensor, "samples answers"]:
        """What the whole global model answers to the virtual samples."""
        return self.answers(self.global_state)

    def features(self, load: LoadParameter) -> Float[Tensor, "samples features"]:
        """Run the model without its head on the virtual samples.

        Parameters
        ----------
        load
            Called as ``load(name, out)`` for each parameter outside the head; it writes
            the values to run with into the tensor ``out``.

        Returns
        -------
        Tensor
            ``(N, d)`` features, on the CPU.
        """
        return self.probe.features(load, self)

    def answers(self, state: State) -> Float[Tensor, "samples answers"]:
        """Run the whole model with a state of its own on the virtual samples.

        Returns
        -------
        Tensor
            The head's output, ``(N, answers)``, on the CPU.
        """
        return self.probe.answers(state, self)


def _staging(parameter: Tensor) -> Tensor:
    """Parameters of an accelerator are put together on the CPU first."""
    if parameter.device.type == "cpu":
        return parameter
    return torch.empty_like(parameter, device="cpu")


def _set_buffer(model: nn.Module, name: str, value: Tensor | None) -> None:
    """Put a buffer in place, whatever shape a forward pass has left there."""
    module, _, own_name = name.rpartition(".")
    setattr(model.get_submodule(module), own_name, value)


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the generators that the model may use, and put them back afterwards."""
    with _generators_kept(device):
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


def _generators_kept(device: torch.device) -> AbstractContextManager[None]:
    """Put the generators that the model may use back afterwards."""
    return torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])


def _capture_input(head: nn.Module, captured: list[Tensor]) -> RemovableHandle:
    """Keep what the head is given, every time that it is called."""

    def keep(_module: nn.Module, args: Any, kwargs: Any) -> None:
        inputs = (value for value in (*args, *kwargs.values()))
        captured.append(next(v for v in inputs if isinstance(v, Tensor)).clone())

    return head.register_forward_pre_hook(keep, with_kwargs=True)


def _capture_output(head: nn.Module, captured: list[Tensor]) -> RemovableHandle:
    """Keep what the head gives, or the first of it, every time that it is called."""

    def keep(_module: nn.Module, _args: Any, output: Any) -> None:
        outputs = output if isinstance(output, tuple | list) else (output,)
        captured.append(next(v for v in outputs if isinstance(v, Tensor)).clone())

    return head.register_forward_hook(keep)
