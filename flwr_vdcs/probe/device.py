"""The device that the scoring runs on: the server's accelerator, else its CPU."""

import importlib
from contextlib import suppress

import torch

from flwr_vdcs.errors import DeviceUnavailableError

PREFERENCE = ("hpu", "cuda", "xpu", "cpu")
ON_REQUEST = ("mps",)


def resolve_device(device: str | torch.device) -> torch.device:
    """Turn a user's choice into a device that is there.

    Parameters
    ----------
    device : str or torch.device
        ``"auto"`` takes the first of Gaudi, CUDA, Intel GPU and CPU that is there.
        Apple's ``"mps"`` is taken on request only, as it lacks float64.

    Raises
    ------
    DeviceUnavailableError
        If the device is unknown or not on this machine.
    """
    available = [kind for kind in (*PREFERENCE, *ON_REQUEST) if _is_available(kind)]
    if device == "auto":
        return torch.device(available[0])
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise DeviceUnavailableError(device, available) from error
    if resolved.type not in available or not _has_index(resolved):
        raise DeviceUnavailableError(device, available)
    return resolved


def _is_available(kind: str) -> bool:
    if kind == "cpu":
        return True
    if kind == "hpu":
        _load_gaudi()
    backend = getattr(torch, kind, None)
    return backend is not None and bool(backend.is_available())


def _has_index(device: torch.device) -> bool:
    if device.index is None or device.type == "cpu":
        return True
    return device.index < int(getattr(torch, device.type).device_count())


def _load_gaudi() -> None:
    """Import Intel's bridge, which makes ``torch.hpu`` appear."""
    with suppress(ImportError):
        importlib.import_module("habana_frameworks.torch.core")
