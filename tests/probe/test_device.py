"""The device: Gaudi, CUDA, else the CPU, and a clear error for what is absent."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch

from flwr_vdcs.errors import DeviceUnavailableError
from flwr_vdcs.probe.device import resolve_device


def pretend(monkeypatch: pytest.MonkeyPatch, kind: str, count: int) -> None:
    """Make PyTorch see ``count`` devices of a kind."""
    backend = SimpleNamespace(
        is_available=lambda: count > 0, device_count=lambda: count
    )
    monkeypatch.setattr(torch, kind, backend, raising=False)


@pytest.fixture(autouse=True)
def _no_accelerator(monkeypatch):
    """Start every test on a machine without an accelerator."""
    for kind in ("cuda", "xpu", "mps", "hpu"):
        pretend(monkeypatch, kind, 0)


def test_auto_is_the_cpu_where_there_is_nothing_else():
    """No accelerator, no error."""
    assert resolve_device("auto") == torch.device("cpu")


@pytest.mark.parametrize("present", [["cuda"], ["xpu"], ["cuda", "xpu"]])
def test_auto_prefers_an_accelerator(monkeypatch, present):
    """The first one there in the order of preference is taken."""
    for kind in present:
        pretend(monkeypatch, kind, 1)
    assert resolve_device("auto").type == present[0]


def test_gaudi_comes_first_once_its_bridge_is_imported(monkeypatch):
    """A stand-in for Intel's module makes ``torch.hpu`` appear as the real one does."""

    class Bridge(ModuleType):
        def __getattr__(self, name: str) -> object:
            raise AttributeError(name)

    pretend(monkeypatch, "cuda", 1)
    pretend(monkeypatch, "hpu", 1)
    for name in ("habana_frameworks", "habana_frameworks.torch"):
        monkeypatch.setitem(sys.modules, name, Bridge(name))
    core = Bridge("habana_frameworks.torch.core")
    monkeypatch.setitem(sys.modules, "habana_frameworks.torch.core", core)
    assert resolve_device("auto").type == "hpu"


def test_mps_is_taken_on_request_only(monkeypatch):
    """Apple's devices are there, but not chosen by themselves."""
    pretend(monkeypatch, "mps", 1)
    assert resolve_device("auto").type == "cpu"
    assert resolve_device("mps").type == "mps"


def test_a_device_object_is_taken():
    """A torch.device works as its name does."""
    assert resolve_device(torch.device("cpu")) == torch.device("cpu")


@pytest.mark.parametrize("device", ["cuda", "hpu", "cuda:1", "toaster", 3])
def test_an_absent_device_is_an_error(device):
    """The error names the devices that are there."""
    with pytest.raises(DeviceUnavailableError, match=r"available: cpu\."):
        resolve_device(device)


def test_an_index_beyond_the_last_device_is_an_error(monkeypatch):
    """One GPU has index 0 only."""
    pretend(monkeypatch, "cuda", 1)
    assert resolve_device("cuda:0").index == 0
    with pytest.raises(DeviceUnavailableError, match=r"'cuda:1'"):
        resolve_device("cuda:1")
