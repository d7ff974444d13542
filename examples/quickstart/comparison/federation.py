"""Run configs to results files: Flower simulations that leave nothing behind."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

RunConfig = Mapping[str, str | int | float | bool]


@dataclass
class Flower:
    """Flower with a home folder, a port and a SuperLink of its own.

    ``flwr run`` starts a SuperLink that outlives it. This one can be told from any
    other by its home folder, which stands in its command line.
    """

    home: Path
    environment: dict[str, str]
    commands: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def run(
        self, app: Path, num_clients: int, config: RunConfig, log: Path
    ) -> subprocess.Popen[bytes]:
        """Start ``flwr run`` and return its process; its output goes to the log."""
        federation = f"num-supernodes={num_clients} client-resources-num-cpus=1"
        command = ["flwr", "run", str(app), "--stream"]
        command += ["--federation-config", federation]
        if config:
            command += ["--run-config", to_toml(config)]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [str(_scripts() / command[0]), *command[1:]],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self.environment,
                start_new_session=True,
            )
        self.commands.append(process)
        return process

    def stop(self) -> None:
        """End every process that belongs to this Flower, each by its id."""
        for command in self.commands:
            if command.poll() is None:
                _end([psutil.Process(command.pid)])
                command.wait()
        _end(self.find_superlinks())

    def find_superlinks(self) -> list[psutil.Process]:
        """Find the running SuperLinks of this Flower."""
        return [
            process
            for process in psutil.process_iter(["cmdline"])
            if _is_superlink(process.info["cmdline"] or [], self.home)
        ]


@contextmanager
def isolated_flower() -> Iterator[Flower]:
    """Lend a Flower in a temporary folder, and stop it at the end whatever happens."""
    with tempfile.TemporaryDirectory(
        prefix="flower-", ignore_cleanup_errors=True
    ) as folder:
        flower = Flower(Path(folder), isolated_environment(Path(folder)))
        try:
            yield flower
        finally:
            flower.stop()


def to_toml(config: RunConfig) -> str:
    """Write a run config as ``flwr run --run-config`` reads it."""
    return " ".join(f"{key}={json.dumps(value)}" for key, value in config.items())


def count_error_replies(log: str) -> int:
    """Count the clients' error replies: a run that has them still exits with 0."""
    return sum(int(number) for number in re.findall(r"and (\d+) failures", log))


def isolated_environment(home: Path) -> dict[str, str]:
    """Return this process's environment with settings that share nothing."""
    settings = {
        "FLWR_HOME": str(home),
        "FLWR_LOCAL_SUPERLINK_HTTP_API_PORT": str(_free_port()),
        "FLWR_LOCAL_CONTROL_API_PORT": str(_free_port()),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "OMP_NUM_THREADS": "1",
        "PATH": os.pathsep.join([str(_scripts()), os.environ.get("PATH", "")]),
    }
    return dict(os.environ) | settings


def _scripts() -> Path:
    return Path(sysconfig.get_path("scripts"))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_superlink(command: list[str], home: Path) -> bool:
    line = " ".join(command)
    return "flower-superlink" in line and str(home) in line


def _end(processes: list[psutil.Process]) -> None:
    """Ask the processes and their descendants to end, then make them."""
    family = [member for process in processes for member in _family(process)]
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(family, timeout=5)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=5)


def _family(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
