"""Run to times: when each of its rounds was finished."""

from __future__ import annotations

import time

from deployment.run import Run
from deployment.waiting import SECONDS_BETWEEN_LOOKS, wait_until

SECONDS_A_ROUND = 900


class Watch:
    """Wait for the rounds of a run, and note when they are finished.

    Parameters
    ----------
    run : Run
        A run that has just been started.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self._finished: dict[int, float] = {}

    def wait_for(self, server_round: int) -> None:
        """Wait until a round is finished: its model is tested and saved.

        Raises
        ------
        FederationError
            If it takes more than a quarter of an hour, or the SuperLink has ended.
        """
        wait_until(
            f"round {server_round} was finished",
            lambda: self._look() > server_round,
            SECONDS_A_ROUND,
            [self.run.superlink],
        )

    def is_finished(self, server_round: int, seconds: float) -> bool:
        """Wait for a round for so many seconds, and tell whether it is finished."""
        deadline = time.monotonic() + seconds
        while self._look() <= server_round and time.monotonic() < deadline:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        return self._look() > server_round

    def finish(self) -> None:
        """Wait until all rounds are finished and the run has ended well."""
        self.run.wait(SECONDS_A_ROUND, lambda _line: self._look())
        self._look()

    def seconds(self, server_round: int) -> float:
        """Tell how long a round took, from the end of the round before it."""
        return self._finished[server_round] - self._finished[server_round - 1]

    def _look(self) -> int:
        """Count the lines of finished rounds, that of the first model included."""
        lines = self.run.rounds()
        for line in lines:
            self._finished.setdefault(line["round"], time.monotonic())
        return len(lines)
