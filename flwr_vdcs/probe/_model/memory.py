"""A forward pass to the memory that it takes, and what a machine has free."""

import re
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from flwr_vdcs.probe._samples import tensors_in

MEMORY = Path("/proc/meminfo")

KIBIBYTE = 1024


class LiveMemory(TorchFunctionMode):
    """Count the bytes of the tensors that functions make, as long as they live.

    Attributes
    ----------
    peak : int
        The most that was alive at a time. What a function needs within itself is
        not seen.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peak = self._alive = 0
        self._known: set[int] = set()

    def __torch_function__(
        self,
        function: Callable[..., Any],
        _types: Any,
        args: Any = (),
        kwargs: Any = None,
    ) -> Any:
        """Run a function, and note what is new in what it gives."""
        given = {_address(each) for each in tensors_in([args, kwargs])}
        output = function(*args, **(kwargs or {}))
        for tensor in tensors_in(output):
            if _address(tensor) not in given:
                self._note(tensor.untyped_storage())
        return output

    def _note(self, storage: torch.UntypedStorage) -> None:
        address, size = storage.data_ptr(), storage.nbytes()
        if not size or address in self._known:
            return
        self._known.add(address)
        self._alive += size
        self.peak = max(self.peak, self._alive)
        weakref.finalize(storage, self._forget, address, size)

    def _forget(self, address: int, size: int) -> None:
        self._known.discard(address)
        self._alive -= size


def _address(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def free_memory(device: torch.device) -> int | None:
    """Tell how many bytes are free, or None where nobody says."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type != "cpu" or not MEMORY.exists():
        return None
    found = re.search(r"MemAvailable:\s+(\d+) kB", MEMORY.read_text())
    return int(found[1]) * KIBIBYTE if found else None
