"""Parameters to features: what the model sees in the virtual samples."""

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils.hooks import RemovableHandle

from flwr_vdcs.admission.global_state import parameters_by_names
from flwr_vdcs.admission.npy import State
from flwr_vdcs.errors import HeadNotFoundError, InputShapeError, InvalidArgumentError

LoadParameter = Callable[[str, Tensor], object]
"""Write the parameter of that name into the tensor given."""

Named = tuple[tuple[str, ...], Tensor, Tensor]
"""A parameter's names, itself, and the tensor on the CPU to put it together in."""

Capture = Callable[[nn.Module, list[Tensor]], RemovableHandle]
"""Collect what passes through a layer, until the handle is removed."""

HALF = (torch.float16, torch.bfloat16)

MAX_PROBLEM = 200


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
    seed
        The round's, from when it starts.
    momentum
        The global model's, by the names of parameters; empty in the first round.

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
        self._model, self._statistics = _private_copy(model, device)
        self._dtype = _floating_dtype(self._model)
        self._own_buffers = {n: b.clone() for n, b in self._model.named_buffers()}
        self.buffer_names = frozenset(
            name for name, b in self._own_buffers.items() if b.is_floating_point()
        )
        self.head = _find_head(self._model, self._prepare(samples), head)
        known = [
            (names, p, _staging(p)) for names, p in parameters_by_names(self._model)
        ]
        self._parameters = [each for each in known if not self._is_of_head(each[0])]
        self._head_parameters = [each for each in known if self._is_of_head(each[0])]
        self.parameter_names = frozenset(name for names, *_ in known for name in names)
        self.num_features = self._checked_width(samples)

    def start_round(
        self,
        samples: Tensor,
        seed: int,
        global_state: State,
        momentum: State | None = None,
    ) -> None:
        """Take over a round's virtual samples and the global model's buffers."""
        self._samples = self._prepare(samples)
        self.seed = seed
        self.momentum = momentum or {}
        self._names = frozenset(global_state)
        self._global_state = global_state
        self._global_answers: Tensor | None = None
        self._buffers = {
            name: global_state[name].to(buffer) if name in global_state else buffer
            for name, buffer in self._own_buffers.items()
        }

    @torch.no_grad()
    def features(self, load: LoadParameter) -> Float[Tensor, "samples features"]:
        """Run the model with other parameters and give its features, on the CPU.

        Parameters
        ----------
        load
            Called as ``load(name, out)`` for each parameter outside the head.
        """
        self._load(self._parameters, load)
        self._set_buffers(self._buffers)
        features = self._run(self._samples, self.seed)
        if features.shape != (len(self._samples), self.num_features):
            raise ValueError(f"the features have shape {tuple(features.shape)}")
        return features

    @torch.no_grad()
    def answers(self, state: State) -> Float[Tensor, "samples answers"]:
        """Run the whole model with a state of its own and give its head's output.

        It runs as it would be used: normalisation layers take their running statistics
        from the state, if it has them. Integer buffers are the global model's, as a
        place to look something up must not come from a client.
        """
        known = [*self._parameters, *self._head_parameters]
        self._load(known, lambda name, out: out.copy_(state[name]))
        own = {**self._buffers, **self._statistics}
        sent = {
            name: state[name].to(buffer)
            for name, buffer in own.items()
            if name in state and buffer.is_floating_point()
        }
        self._set_buffers({**self._buffers, **sent})
        try:
            return self._run(self._samples, self.seed, _capture_output)
        finally:
            for name in self._statistics:
                _set_buffer(self._model, name, None)

    def global_answers(self) -> Float[Tensor, "samples answers"]:
        """Run the whole global model, once a round."""
        if self._global_answers is None:
            self._global_answers = self.answers(self._global_state)
        return self._global_answers

    def is_of_head(self, name: str) -> bool:
        """Tell whether a parameter belongs to the head."""
        return name.startswith(f"{self.head}.")

    def _is_of_head(self, names: Iterable[str]) -> bool:
        """Tell whether it is the head's alone: no other layer shares it."""
        return all(map(self.is_of_head, names))

    def _load(self, parameters: list[Named], load: LoadParameter) -> None:
        for names, parameter, staging in parameters:
            load(next(name for name in names if name in self._names), staging)
            if staging is not parameter:
                parameter.copy_(staging)

    def _set_buffers(self, buffers: State) -> None:
        for name, buffer in buffers.items():
            _set_buffer(self._model, name, buffer.clone())

    def _checked_width(self, samples: Tensor) -> int:
        features = self._run(self._prepare(samples), seed=0)
        if features.shape[0] != len(samples):
            found = f"its input has {features.shape[0]} rows for {len(samples)} samples"
            raise HeadNotFoundError(self.head, found, self._layers())
        return features.shape[1]

    def _layers(self) -> list[str]:
        return [name for name, module in self._model.named_modules() if name]

    def _prepare(self, samples: Tensor) -> Tensor:
        dtype = self._dtype if samples.is_floating_point() else samples.dtype
        return samples.to(self.device, dtype)

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


def _private_copy(model: nn.Module, device: torch.device) -> tuple[nn.Module, State]:
    """Copy the model, and give the running statistics that its layers now lack."""
    private = _deep_copy(model).to(device).eval().requires_grad_(requires_grad=False)
    if any(p.dtype in HALF for p in private.parameters()):
        private = private.float()
    layers = {n: m for n, m in private.named_modules() if isinstance(m, _NormBase)}
    statistics = {
        f"{name}.{own_name}" if name else own_name: buffer.clone()
        for name, layer in layers.items()
        for own_name, buffer in layer.named_buffers(recurse=False)
        if own_name in {"running_mean", "running_var"}
    }
    for layer in layers.values():
        _normalise_by_samples(layer)
    return private, statistics


def _deep_copy(model: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(model)
    except Exception as error:
        raise InvalidArgumentError(
            "model",
            type(model).__name__,
            f"a model that copy.deepcopy can copy ({type(error).__name__})",
        ) from error


def _normalise_by_samples(layer: _NormBase) -> None:
    """Without running statistics a layer falls back to those of its input."""
    layer.track_running_stats = False
    layer.running_mean = layer.running_var = layer.num_batches_tracked = None


def _floating_dtype(model: nn.Module) -> torch.dtype:
    dtypes = [p.dtype for p in model.parameters() if p.is_floating_point()]
    return dtypes[0] if dtypes else torch.get_default_dtype()


def _staging(parameter: Tensor) -> Tensor:
    """Parameters of an accelerator are put together on the CPU first."""
    if parameter.device.type == "cpu":
        return parameter
    return torch.empty_like(parameter, device="cpu")


def _set_buffer(model: nn.Module, name: str, value: Tensor | None) -> None:
    """Put a buffer in place, whatever shape a forward pass has left there."""
    module, _, own_name = name.rpartition(".")
    setattr(model.get_submodule(module), own_name, value)


def _find_head(model: nn.Module, samples: Tensor, head: str | None) -> str:
    """Name the last layer with parameters that starts, or check the one given."""
    layers = [name for name, module in model.named_modules() if _is_layer(name, module)]
    started = _modules_in_order(model, samples)
    if head is None:
        candidates = [name for name in started if name in layers]
        if not candidates:
            raise HeadNotFoundError(head, "no layer with parameters runs", layers)
        return candidates[-1]
    if head not in started:
        known = head in dict(model.named_modules())
        problem = "it does not run" if known else "there is no such layer"
        raise HeadNotFoundError(head, problem, layers)
    return head


def _is_layer(name: str, module: nn.Module) -> bool:
    """Count parametrised layers too, which keep their parameters one level down."""
    holds_parameters = next(module.parameters(recurse=False), None) is not None
    is_parametrisation = "parametrizations" in name.split(".")
    return not is_parametrisation and (
        holds_parameters or hasattr(module, "parametrizations")
    )


def _modules_in_order(model: nn.Module, samples: Tensor) -> list[str]:
    """Run the model once and list its inner modules as they start."""
    started: list[str] = []
    hooks = [
        module.register_forward_pre_hook(_appending(name, started))
        for name, module in model.named_modules()
        if name
    ]
    try:
        with torch.no_grad(), _generators_kept(samples.device):
            model(samples)
    except Exception as error:  # whatever the user's model raises
        problem = f"{type(error).__name__}: {error}"[:MAX_PROBLEM]
        raise InputShapeError(tuple(samples.shape[1:]), problem) from error
    finally:
        for hook in hooks:
            hook.remove()
    return started


def _appending(name: str, started: list[str]) -> Callable[[nn.Module, Any], None]:
    return lambda _module, _inputs: started.append(name)


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
