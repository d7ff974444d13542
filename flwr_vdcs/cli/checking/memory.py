"""A stretch of work to the memory it took at its peak."""

import ctypes
import gc
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

STATUS = Path("/proc/self/status")
RESET = Path("/proc/self/clear_refs")
RESET_PEAK = "5"

KIBIBYTE = 1024


@contextmanager
def watched(device: torch.device) -> Iterator[dict[str, int]]:
    """Measure peaks, in bytes: of this process on Linux, and of an accelerator.

    The dictionary is filled at the end, by place, and stays empty where nothing counts.
    """
    peaks: dict[str, int] = {}
    accelerator: Any = getattr(torch, device.type, None)
    has_counter = hasattr(accelerator, "max_memory_allocated")
    if has_counter:
        accelerator.reset_peak_memory_stats(device)
    _give_back()
    before = _status("VmRSS")
    yield peaks
    after = _status("VmHWM")
    if before and after:
        peaks["main memory"] = max(0, after - before)
    if has_counter:
        peaks[device.type] = accelerator.max_memory_allocated(device)


def _give_back() -> None:
    """Give free memory back to Linux, so that new memory shows, and start anew."""
    gc.collect()
    if not RESET.exists():
        return
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
        RESET.write_text(RESET_PEAK)


def _status(field: str) -> int:
    """Read a number of bytes that Linux keeps of this process; 0 elsewhere."""
    if not STATUS.exists():
        return 0
    found = re.search(rf"{field}:\s+(\d+) kB", STATUS.read_text())
    return int(found[1]) * KIBIBYTE if found else 0
