"""A private copy that starts every run alike, whatever a run leaves behind in it."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from flwr_vdcs.probe._model.copying import contents_of, private_copy, put_back
from flwr_vdcs.probe._samples import Samples, called, mapped

HALF = (torch.float16, torch.bfloat16)


class PrivateModel:
    """A copy of a model in evaluation mode, which is run on virtual samples.

    Attributes
    ----------
    module : torch.nn.Module
        The copy.
    statistics : dict of str to Tensor
        Running statistics, without which the copy's layers normalise.
    buffers : dict of str to Tensor
        All other buffers. The runs share them, but for those that a run changes.
    """

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        self.device = device
        self.module, self.statistics = private_copy(model, device)
        self._changing: frozenset[str] = frozenset()
        self._note()

    @property
    def is_half(self) -> bool:
        """Whether a parameter has half precision."""
        return any(p.dtype in HALF for p in self.module.parameters())

    def widen(self) -> None:
        """Run in float32 from now on."""
        put_back(self._contents)
        self.module.float()
        self.statistics = {n: t.float() for n, t in self.statistics.items()}
        self._note()

    @property
    def dtype(self) -> torch.dtype:
        """That of the first real parameter, in which samples are given."""
        dtypes = [p.dtype for p in self.module.parameters() if p.is_floating_point()]
        return dtypes[0] if dtypes else torch.get_default_dtype()

    def prepared(self, samples: Samples, dtype: torch.dtype) -> Any:
        """Bring samples to the device, and floating ones to a dtype."""
        return mapped(
            lambda each: each.to(
                self.device, dtype if each.is_floating_point() else each.dtype
            ),
            samples,
        )

    def try_out(
        self, samples: Samples, model: nn.Module, watch: AbstractContextManager[object]
    ) -> None:
        """Run for the first time, and see which buffers a run changes in place.

        They are taken from the model once more.
        """
        versions = {name: buffer._version for name, buffer in self.buffers.items()}
        self.run(samples, watch)
        put_back(self._contents)
        self._changing = frozenset(
            n for n, buffer in self.buffers.items() if buffer._version != versions[n]
        )
        own = dict(model.named_buffers())
        for name in self._changing:
            set_buffer(self.module, name, own[name].clone().to(self.buffers[name]))
        self._note()

    @torch.no_grad()
    def run(
        self,
        samples: Samples,
        watch: AbstractContextManager[object],
        buffers: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Run on samples within a context, such as one of hooks.

        It has copies of the buffers that are given, instead of its own.
        """
        put_back(self._contents)
        changing = {name: self.buffers[name] for name in self._changing}
        for name, buffer in {**changing, **(buffers or {})}.items():
            set_buffer(self.module, name, buffer.clone())
        with watch:
            called(self.module, self.prepared(samples, self.dtype))

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is noted, in which some layers keep what cannot be pickled."""
        put_back(self._contents)
        state = dict(vars(self))
        del state["_contents"], state["buffers"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Note it anew."""
        vars(self).update(state)
        self._note()

    def _note(self) -> None:
        """Note how a run is to find it."""
        self.buffers = dict(self.module.named_buffers())
        self._contents = contents_of(self.module)


def set_buffer(module: nn.Module, name: str, value: Tensor) -> None:
    """Put a buffer in place, whatever shape a forward pass has left there."""
    owner, _, own_name = name.rpartition(".")
    setattr(module.get_submodule(owner), own_name, value)
