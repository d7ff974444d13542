"""Parameters to features: what the model sees in the virtual samples."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from flwr_vdcs.admission import State, as_real, parameters_by_names
from flwr_vdcs.errors import InputShapeError
from flwr_vdcs.probe._head import is_of_any, taken, weight_of
from flwr_vdcs.probe._layout import layout_of, seen_with
from flwr_vdcs.probe._model import (
    Loader,
    LoadParameter,
    PrivateModel,
    copying,
    generators_kept,
    seeded,
    travels,
    unwrapped,
)
from flwr_vdcs.probe._reduction import collector_for
from flwr_vdcs.probe._samples import Samples, batches, tensors_in
from flwr_vdcs.probe.virtual_samples import MAX_SEED, NUM_SAMPLES_TO_TRY

NEGLIGIBLE = 0.05
"""Half precision is widened to float32 if no more of a model's bytes stay at home."""

LEAST_AXES = 2
"""Samples with more may have an axis too many."""

BATCH_AXIS = "It takes inputs of {shape}: if {} is the size of a batch, leave it out. "

INPUTS, OUTPUTS = "inputs", "outputs"
"""The sides of a head on which something can be taken."""


class Probe:
    """A private copy of the model, run without its final classification layer.

    The features are the input of that layer, the head, in the model's real forward
    pass, flattened per row (Eqs. 15 and 16). The copy runs in evaluation mode, so
    dropout is off, except that normalisation layers use the statistics of the virtual
    samples instead of their running ones. The model itself is not touched.

    What does not travel keeps the model's own values, and is neither copied nor widened
    again.

    Parameters
    ----------
    model
        Architecture, and the values of what does not travel.
    samples
        At least one input, to find the head with.
    head
        Name of the head, or several, or None to take the last layer with parameters
        that starts during a forward pass.
    device
        Where the copy lives and runs.

    Attributes
    ----------
    parameter_names
        All names of all parameters.
    layout
        The heads, how much passes through them, and the memory that it takes.

    Raises
    ------
    InvalidArgumentError
        If no copy of the model can be made and looked into.
    InputShapeError
        If the model refuses the samples.
    HeadNotFoundError
        If there is no such layer, or it does not run on tensors.
    """

    def __init__(
        self,
        model: nn.Module,
        samples: Samples,
        head: str | Sequence[str] | None,
        device: torch.device,
    ) -> None:
        self.device = device
        self._copy = PrivateModel(unwrapped(model), device)
        asked = (head,) if isinstance(head, str) else head
        with generators_kept(device):
            self.layout = layout_of(self._copy, unwrapped(model), samples, asked)
        known = parameters_by_names(self._copy.module)
        self._parameters = [each for each in known if not self._is_of_head(each[0])]
        self._head_parameters = [each for each in known if self._is_of_head(each[0])]
        self.parameter_names = frozenset(name for names, _ in known for name in names)
        self._loader = Loader()

    @property
    def heads(self) -> tuple[str, ...]:
        """The names of the heads."""
        return self.layout.heads

    @property
    def head(self) -> str:
        """The name of the head, or of all of them, separated by commas."""
        return ", ".join(self.heads)

    @property
    def num_features(self) -> int:
        """How many features a row has."""
        return self.layout.num_features

    def is_of_head(self, name: str) -> bool:
        """Tell whether a parameter belongs to a head; all do if the model is one."""
        return is_of_any(self.heads, name)

    def head_weight(self, state: State) -> Tensor | None:
        """Give the head's weight in a state, one row for each class.

        It is None where there is none, or several heads.
        """
        if len(self.heads) > 1:
            return None
        return weight_of(state, self.heads[0], self._layers()[0])

    @cached_property
    def num_classes(self) -> int:
        """How many rows the head's weight has; 1 where it has no such matrix."""
        named = self._copy.module.named_parameters(remove_duplicate=False)
        weight = self.head_weight(dict(named))
        return 1 if weight is None else len(weight)

    def tensors(self) -> Iterator[Tensor]:
        """Give the parameters and buffers of the copy."""
        yield from self._copy.module.parameters()
        yield from self._copy.statistics.values()
        yield from self._copy.buffers.values()

    def prepared(self, samples: Samples) -> Any:
        """Bring virtual samples to the device, in at least single precision."""
        dtype = torch.promote_types(self._copy.dtype, torch.float32)
        return self._copy.prepared(samples, dtype)

    def rehearse(self, samples: Samples) -> None:
        """Run on as many samples as a round will, and learn how long the rows are then.

        Where they run in batches, one will do. What has half precision is not run, as
        it may still be widened.
        """
        if self._copy.is_half:
            return
        batch = next(batches(samples, self.layout.num_batches(samples)))
        with generators_kept(self.device):
            self.layout = seen_with(self.layout, self._copy, batch)

    @torch.no_grad()
    def features(
        self, load: LoadParameter, context: "RoundContext"
    ) -> Float[Tensor, "rows features"]:
        """Run the model with other parameters and give its features, on the CPU.

        If no parameter outside the head travels, the head's output is given instead.

        Parameters
        ----------
        load
            Called as ``load(name, out)`` for each parameter outside the head that
            travels, or for those of the head where none does.
        context
            The round, with the virtual samples to run on.
        """
        state = context.global_state
        self._settle(state)
        buffers = _those_of(state, context.buffers)
        if not any(travels(names, state) for names, _ in self._parameters):
            self._loader.load(self._head_parameters, load, state)
            return self._run(context, buffers, OUTPUTS)
        self._loader.load(self._parameters, load, state)
        self._loader.load(self._head_parameters, copying(state), state)
        return self._run(context, buffers, INPUTS)

    @torch.no_grad()
    def answers(
        self, state: State, context: "RoundContext"
    ) -> Float[Tensor, "rows answers"]:
        """Run the whole model with a state of its own and give its head's output.

        It runs as it would be used: normalisation layers take their running statistics
        from the state, if it has them. Integer buffers are the global model's, as a
        place to look something up must not come from a client.
        """
        self._settle(context.global_state)
        known = [*self._parameters, *self._head_parameters]
        self._loader.load(known, copying(state), context.global_state)
        own = {**self._copy.buffers, **self._copy.statistics}
        sent = {
            name: _like(buffer, state[name])
            for name, buffer in own.items()
            if name in state and (buffer.is_floating_point() or buffer.is_complex())
        }
        buffers = _those_of(context.global_state, context.buffers)
        return self._run(context, {**buffers, **sent}, OUTPUTS, finite=True)

    def buffers_of(self, global_state: State) -> State:
        """Give all buffers, those of a global state where it has them."""
        return {
            name: _like(buffer, global_state[name]) if name in global_state else buffer
            for name, buffer in self._copy.buffers.items()
        }

    def _settle(self, global_state: State) -> None:
        """Widen half precision, unless a good part of the model does not travel."""
        if self._copy.is_half and self._share_that_stays(global_state) <= NEGLIGIBLE:
            self._copy.widen()
            wider = 2 * self.layout.sample_bytes
            self.layout = replace(self.layout, sample_bytes=wider)

    def _share_that_stays(self, global_state: State) -> float:
        """Tell how much of the model does not travel."""
        known = [*self._parameters, *self._head_parameters]
        known += [((name,), buffer) for name, buffer in self._copy.buffers.items()]
        sizes = {names: tensor.nbytes for names, tensor in known}
        staying = sum(
            n for names, n in sizes.items() if not travels(names, global_state)
        )
        return staying / sum(sizes.values())

    def _layers(self) -> list[nn.Module]:
        return [self._copy.module.get_submodule(name) for name in self.heads]

    def _is_of_head(self, names: Iterable[str]) -> bool:
        """Tell whether it is the head's alone: no other layer shares it."""
        return all(map(self.is_of_head, names))

    def _run(
        self,
        context: "RoundContext",
        buffers: State,
        side: str,
        *,
        finite: bool = False,
    ) -> Float[Tensor, "rows width"]:
        """Run batch by batch, and give what passes through the head, in short rows.

        Layers that draw random numbers all the same draw them alike every time.
        """
        layout, parts = self.layout, []
        width = layout.num_features if side == INPUTS else layout.num_answers
        with seeded(context.seed, self.device):
            for batch in batches(context.samples, layout.num_batches(context.samples)):
                rows = collector_for(width, context.seed + MAX_SEED, finite=finite)
                self._copy.run(
                    batch, taken(self._layers(), **{side: rows.add}), buffers
                )
                if rows.width != width:
                    raise ValueError(f"{side} of {rows.width} numbers, not {width}")
                parts.append(rows.rows())
        found = torch.cat(parts).cpu()
        return found.to(torch.promote_types(found.dtype, torch.float32))


@dataclass(frozen=True)
class RoundContext:
    """A round as the clients saw it that were sent one and the same model.

    This is what a scoring is given besides the update that it looks at.

    Attributes
    ----------
    probe : Probe
        The model, to be run by `features` and `answers`.
    samples : Tensor, tuple or dict
        The virtual samples, on the probe's device: ``(N, *input_shape)``, or whatever
        the model is called with.
    seed : int
        The seed that they were drawn from, for whatever else is drawn.
    global_state : dict
        The arrays that these clients were sent, by the model's names: all of its state
        or a part. Complex ones are viewed as real ones, with a last axis of 2.
    momentum : dict
        The way that the global model has come, by the names of parameters; empty in
        the first round.
    server_round : int
        Flower's number of the round.
    """

    probe: Probe
    samples: Samples = field(repr=False)
    seed: int
    global_state: State = field(repr=False)
    momentum: State = field(default_factory=dict, repr=False)
    server_round: int = 1

    def at(self, global_state: State) -> "RoundContext":
        """Give the same round to clients that were sent another model."""
        if global_state is self.global_state:
            return self
        return replace(self, global_state=global_state)

    def tensors(self) -> Iterator[Tensor]:
        """Give all tensors of the round, those of the model included."""
        yield from self.probe.tensors()
        yield from tensors_in(self.samples)
        yield from self.global_state.values()
        yield from self.momentum.values()

    @property
    def parameter_names(self) -> frozenset[str]:
        """All names of all parameters of the model."""
        return self.probe.parameter_names

    @cached_property
    def buffers(self) -> State:
        """The model's buffers, those of the global state where it has them."""
        return self.probe.buffers_of(self.global_state)

    @cached_property
    def global_answers(self) -> Float[Tensor, "rows answers"]:
        """What the whole global model answers to the virtual samples."""
        return self.answers(self.global_state)

    def features(self, load: LoadParameter) -> Float[Tensor, "rows features"]:
        """Run the model without its head on the virtual samples.

        If no parameter outside the head travels, as in a logistic regression or where
        only the head is trained, the head's output is given instead of its input.

        Parameters
        ----------
        load
            Called as ``load(name, out)`` for each parameter outside the head that
            travels, or for those of the head where none does; it writes the values to
            run with into the tensor ``out``. All others keep their values.

        Returns
        -------
        Tensor
            ``(N, d)`` features, on the CPU. A head that is given other rows than the
            samples, such as the nodes of graphs, has one row for each of those. Where d
            were more than 16,384 the features are projected to 16,381 numbers, in one
            and the same way in all of a round.
        """
        return self.probe.features(load, self)

    def answers(self, state: State) -> Float[Tensor, "rows answers"]:
        """Run the whole model with a state of its own on the virtual samples.

        Returns
        -------
        Tensor
            The head's output, ``(N, answers)``, on the CPU; projected as features are.
        """
        return self.probe.answers(state, self)


def probe_for(
    model: nn.Module,
    draw: Callable[[int], Samples],
    num_samples: int,
    head: str | Sequence[str] | None,
    device: torch.device,
) -> Probe:
    """Make a probe with few samples, or with all if the model takes no other number.

    Raises
    ------
    InvalidArgumentError, InputShapeError, HeadNotFoundError
        As for `Probe`.
    """
    few = draw(min(num_samples, NUM_SAMPLES_TO_TRY))
    try:
        return Probe(model, few, head, device)
    except InputShapeError as error:
        problem = error
    with suppress(InputShapeError):
        return Probe(model, draw(num_samples), head, device)
    if isinstance(few, Tensor) and few.ndim > LEAST_AXES:
        with suppress(InputShapeError):
            Probe(model, few[:, 0], head, device)
            hint = BATCH_AXIS.format(*few.shape[1:2], shape=tuple(few.shape[2:]))
            problem = InputShapeError(problem.input_shape, problem.problem, hint)
    raise problem


def _those_of(state: State, buffers: State) -> State:
    return {name: buffer for name, buffer in buffers.items() if name in state}


def _like(buffer: Tensor, value: Tensor) -> Tensor:
    """Give a value that has travelled as the buffer has it; none are copied in vain."""
    if buffer.is_complex():
        value = torch.view_as_complex(value.to(as_real(buffer)))
    return value.to(buffer)
