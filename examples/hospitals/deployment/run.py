"""Run id to rounds: a run that is going on, and what it has written so far."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from deployment.commands import ask
from deployment.errors import FederationError
from deployment.layout import CONNECTION, Layout
from deployment.lines import read_lines
from deployment.memory import PeakMemory
from deployment.program import Program

SUPERLINK, SERVER_APP = "flower-superlink", "flwr-serverapp"
COMPLETED = "finished:completed"
SECONDS_BETWEEN_LOOKS = 0.5
SECONDS_TO_START = 180
SECONDS_TO_SHOW_LOG = 60

Lines = list[dict[str, Any]]


@dataclass(frozen=True)
class Written:
    """How many lines the files that a run appends to have."""

    rounds: int
    audit: int

    @classmethod
    def so_far(cls, layout: Layout) -> Written:
        """Count the lines that are there now."""
        return cls(len(read_lines(layout.rounds)), len(read_lines(layout.audit_log)))


@dataclass
class Run:
    """A run of the app, from its start to its end.

    Parameters
    ----------
    run_id : str
        As Flower knows it.
    layout : Layout
        Where the ServerApp writes.
    superlink : Program
        What runs the ServerApp.
    num_rounds : int
        How many rounds were asked for.
    before : Written
        What earlier runs have left in the same files.

    Attributes
    ----------
    memory : PeakMemory
        What the SuperLink and the ServerApp used, as far as ``wait`` saw.
    """

    run_id: str
    layout: Layout
    superlink: Program
    num_rounds: int
    before: Written
    memory: PeakMemory = field(default_factory=PeakMemory)

    def rounds(self) -> Lines:
        """Read ``round``, ``accuracy`` and ``loss`` of what is finished.

        Round 0 is the model before training.
        """
        return read_lines(self.layout.rounds)[self.before.rounds :]

    def audit(self) -> Lines:
        """Read this run's lines of the plugin's audit log."""
        return read_lines(self.layout.audit_log)[self.before.audit :]

    def wait(
        self,
        seconds_a_round: float,
        on_round: Callable[[dict[str, Any]], None] = lambda _line: None,
    ) -> Lines:
        """Wait until the run has ended, and return its rounds.

        Parameters
        ----------
        seconds_a_round : float
            How long it may be silent.
        on_round : Callable
            Is told each round when it is finished.

        Raises
        ------
        FederationError
            If the run failed, was silent for too long, or the SuperLink has ended.
        """
        seen, deadline = 0, time.monotonic() + SECONDS_TO_START + seconds_a_round
        ending = ""
        while not ending:
            ending = self.ending()
            for line in self.rounds()[seen:]:
                seen, deadline = seen + 1, time.monotonic() + seconds_a_round
                on_round(line)
            if time.monotonic() > deadline:
                raise self._failure(f"no round was finished for {seconds_a_round} s")
            time.sleep(SECONDS_BETWEEN_LOOKS)
        return self._checked_rounds(ending)

    def ending(self) -> str:
        """Tell how the run ended, ``finished:completed`` at best; empty if it goes on.

        Raises
        ------
        FederationError
            If the SuperLink has ended.
        """
        self.superlink.check()
        self.memory.look("SuperLink", self.superlink.find(SUPERLINK))
        if server_apps := self.superlink.find(SERVER_APP):
            self.memory.look("ServerApp", server_apps)
            return ""
        answer = ask(self.layout, "list", "--run-id", self.run_id)
        status = str(answer["runs"][0]["status"])
        return status if status.startswith("finished") else ""

    def stop(self) -> None:
        """Let the SuperLink stop the run."""
        ask(self.layout, "stop", self.run_id)

    def _checked_rounds(self, ending: str) -> Lines:
        rounds = self.rounds()
        if ending != COMPLETED or len(rounds) <= self.num_rounds:
            num_finished = max(len(rounds) - 1, 0)
            raise self._failure(
                f"{num_finished} of {self.num_rounds} rounds were finished, and the "
                f"run is '{ending}'"
            )
        return rounds

    def _failure(self, problem: str) -> FederationError:
        """Fetch the ServerApp's log, which tells more than the SuperLink's own."""
        log = self.layout.logs / f"run-{self.run_id}.log"
        with log.open("wb") as output:
            subprocess.run(
                ["flwr", "log", self.run_id, CONNECTION, "--show"],
                env=self.layout.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=SECONDS_TO_SHOW_LOG,
                check=False,
            )
        return FederationError(problem, log)
