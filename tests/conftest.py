"""Fixtures shared by all tests."""

import gc
import logging
import signal

import pytest
import torch
from hypothesis import settings

# A shell that starts the tests in the background lets them, and what they start, ignore
# Ctrl-C; some of them send it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# As in a simulation: sums are the same to the last digit, and workers share the cores.
torch.set_num_threads(1)

settings.register_profile("default", deadline=None, max_examples=50)
settings.load_profile("default")


def pytest_collection_finish() -> None:
    """Let what was imported out of the garbage collections that Flower asks for.

    Some of its strategies ask once a reply, and looking through PyTorch takes a second.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture
def flower_log(caplog, monkeypatch):
    """Capture what goes to Flower's own logger, once."""
    logger = logging.getLogger("flwr")
    monkeypatch.setattr(logger, "propagate", False)
    logger.addHandler(caplog.handler)
    caplog.set_level(logging.INFO, logger="flwr")
    yield caplog
    logger.removeHandler(caplog.handler)
