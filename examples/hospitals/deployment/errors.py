"""What can go wrong while a federation runs, and the log that tells more."""

from __future__ import annotations

from pathlib import Path

LOG_TAIL_LINES = 20


class FederationError(Exception):
    """Something of the federation did not do what it was started for.

    Parameters
    ----------
    problem : str
        What was wrong.
    log : Path, optional
        The log of the process that had to do it, if there is one; its end is quoted.
    """

    def __init__(self, problem: str, log: Path | None = None) -> None:
        self.problem = problem
        self.log = log
        super().__init__(f"{problem}. {_end_of(log)}" if log else problem)


def _end_of(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    tail = "\n".join(f"  {line}" for line in lines[-LOG_TAIL_LINES:])
    return f"End of {log}:\n{tail or '  (empty)'}"
