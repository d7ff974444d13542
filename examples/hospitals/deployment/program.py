"""Command to program: started with a log, and ended with everything that it started."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from deployment.errors import FederationError

MARK = "HOSPITALS_LOG"
"""Environment variable of a program and of all that it starts: the path of its log."""

SECONDS_TO_END = 30
EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass
class Program:
    """A long-running command, such as a SuperLink or a SuperNode.

    Its descendants are known by a mark in their environment, so that even those whose
    parent has been killed are found.

    Parameters
    ----------
    name : str
        What it is called in messages.
    command : Sequence[str]
        The command and its arguments.
    environment : Mapping[str, str]
        Its environment.
    log : Path
        Where its output and that of its descendants is appended.

    Attributes
    ----------
    process : subprocess.Popen or None
        The command, once it has been started.
    started : datetime
        When it was started the last time.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    started: datetime = EPOCH

    @property
    def is_running(self) -> bool:
        """Whether the command itself runs, or is paused."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start the command in a session of its own, which no Ctrl-C reaches."""
        self.started = datetime.now(UTC)
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**self.environment, MARK: str(self.log)},
                start_new_session=True,
            )

    def check(self) -> None:
        """Do nothing if the command runs.

        Raises
        ------
        FederationError
            If it has ended.
        """
        if self.process is None or self.is_running:
            return
        code = self.process.returncode
        raise FederationError(f"{self.name} has ended with code {code}", self.log)

    def family(self) -> list[psutil.Process]:
        """Find the processes of the command and of all that it has started.

        The command itself is known by its number: what has just been started does not
        show its environment yet.
        """
        found = {each.pid: each for each in find_marked(lambda log: log == self.log)}
        with suppress(psutil.NoSuchProcess):
            if self.process is not None and self.is_running:
                found.setdefault(self.process.pid, psutil.Process(self.process.pid))
        return [*found.values()]

    def find(self, command: str) -> list[psutil.Process]:
        """Find those of the family that run a command: ``flwr-clientapp``, for one."""
        return [process for process in self.family() if runs(process, command)]

    def stop(self) -> None:
        """Ask the family to end, and kill who does not."""
        end(self.family)
        self._reap()

    def kill(self) -> None:
        """Kill the family at once, as a power failure would."""
        self._signal(signal.SIGKILL)
        self._reap()

    def pause(self) -> None:
        """Let the family stand still: it lives, keeps its connections and is silent."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused family go on."""
        self._signal(signal.SIGCONT)

    def restart(self) -> None:
        """Kill what runs of the family, and start the same command again."""
        self.kill()
        self.start()

    def _signal(self, number: int) -> None:
        for process in self.family():
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def _reap(self) -> None:
        if self.process is not None:
            self.process.wait(timeout=SECONDS_TO_END)


def find_marked(is_wanted: Callable[[Path], bool]) -> list[psutil.Process]:
    """Find all processes whose mark, a log's path, is a wanted one."""
    return [
        process
        for process in psutil.process_iter()
        if (mark := _read_mark(process)) and is_wanted(Path(mark))
    ]


def runs(process: psutil.Process, command: str) -> bool:
    """Tell whether a process, if it has not ended meanwhile, runs a command."""
    with suppress(psutil.Error):
        return command in {Path(word).name for word in process.cmdline()[:2]}
    return False


def end(find: Callable[[], list[psutil.Process]]) -> None:
    """Ask the found processes to end, then kill those that are left or newly there."""
    for ask in (psutil.Process.terminate, psutil.Process.kill, psutil.Process.kill):
        processes = find()
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                ask(process)
        psutil.wait_procs(processes, timeout=SECONDS_TO_END)


def _read_mark(process: psutil.Process) -> str:
    """Read the mark; empty for processes without one, of other users, or that ended."""
    with suppress(psutil.Error, OSError):
        return process.environ().get(MARK, "")
    return ""
