"""Fixtures shared by all tests."""

import logging

import pytest
from hypothesis import settings

settings.register_profile("default", deadline=None, max_examples=50)
settings.load_profile("default")


@pytest.fixture
def flower_log(caplog, monkeypatch):
    """Capture what goes to Flower's own logger, once."""
    logger = logging.getLogger("flwr")
    monkeypatch.setattr(logger, "propagate", False)
    logger.addHandler(caplog.handler)
    caplog.set_level(logging.INFO, logger="flwr")
    yield caplog
    logger.removeHandler(caplog.handler)
