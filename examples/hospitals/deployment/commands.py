"""Question to answer: the ``flwr`` command, run for its JSON output."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from typing import Any

from deployment.errors import FederationError
from deployment.layout import CONNECTION, Layout

RunConfig = Mapping[str, str | int | float | bool]

SECONDS_TO_ANSWER = 120


def ask(layout: Layout, *arguments: str) -> dict[str, Any]:
    """Run ``flwr ARGUMENT … tls --format json`` and return what it answers.

    Raises
    ------
    FederationError
        If it fails, or does not answer in time.
    """
    command = ["flwr", *arguments, CONNECTION, "--format", "json"]
    log = layout.logs / "flwr.log"
    with log.open("a") as errors:
        try:
            asked = subprocess.run(
                command,
                env=layout.environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                timeout=SECONDS_TO_ANSWER,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            problem = f"'{' '.join(command)}' took over {SECONDS_TO_ANSWER} s"
            raise FederationError(problem, log) from error
        errors.write(f"$ {' '.join(command)}\n{asked.stdout}\n")
    answer = _parse(asked.stdout)
    if not answer.get("success"):
        raise FederationError(f"'{' '.join(command)}' failed", log)
    return answer


def to_toml(config: RunConfig) -> str:
    """Write settings as ``flwr run --run-config`` reads them."""
    return " ".join(f"{key}={json.dumps(value)}" for key, value in config.items())


def _parse(output: str) -> dict[str, Any]:
    try:
        return dict(json.loads(output))
    except ValueError:
        return {}
