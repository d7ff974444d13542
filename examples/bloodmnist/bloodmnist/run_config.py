"""Run config: the settings of a run, completed by those in ``pyproject.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RunConfig = Mapping[str, Any]

TRUTH, AUTO = -1, -2
"""Where a number of malicious clients is asked for: the true one, or none is known."""

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"


def read_defaults() -> dict[str, Any]:
    """Read the app's default settings."""
    content = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))
    return dict(content["tool"]["flwr"]["app"]["config"])


def with_defaults(settings: RunConfig) -> dict[str, Any]:
    """Complete settings with the defaults, as ``flwr run`` does.

    Raises
    ------
    ValueError
        If a setting does not exist, or is of another type than its default.
    """
    defaults = read_defaults()
    if unknown := sorted(settings.keys() - defaults.keys()):
        raise ValueError(f"unknown settings {unknown}: use some of {sorted(defaults)}")
    for key, value in settings.items():
        _check_type(key, value, defaults[key])
    return defaults | dict(settings)


def _check_type(key: str, value: object, default: object) -> None:
    allowed = (int, float) if isinstance(default, float) else (type(default),)
    if type(value) not in allowed:
        raise ValueError(
            f"{key} must be a {type(default).__name__}, as its default {default!r}, "
            f"got {value!r}"
        )
