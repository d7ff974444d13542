"""Rounds whose outcome can be compared to the last digit, and scorings that misbehave.

Workers import this module, so it stands apart from the tests.
"""

import os
import signal
import time
from pathlib import Path

import torch

from flwr_vdcs import HardenedScoring, History, examine_round
from tests.models import CASES
from tests.probe.contexts import moved, real_state

NUM_CLIENTS = 6

PARTS = (
    "score",
    "norm",
    "shares",
    "explanation",
    "failure",
    "verdict",
    "reason",
    "remembered",
)
"""What `outcome` takes of each client."""

REFUSED, TOO_LARGE = 1000.0, 2000.0
"""Values of a client's first number that `Watched` has something against."""


def model_of(name):
    """Build a model with known weights."""
    torch.manual_seed(1)
    return CASES[name].build()


def updates_of(state, server_round=1):
    """Give honest updates and one that goes the other way."""
    shared = moved(state, 1000 * server_round, 0.05)
    updates = [moved(shared, 100 * server_round + k, 0.01) for k in range(NUM_CLIENTS)]
    last = {
        n: 2 * state[n] - each if each.is_floating_point() else each
        for n, each in updates[-1].items()
    }
    return [*updates[:-1], last]


def two_rounds(name, scoring, executor=None):
    """Examine two rounds; the second one has a momentum."""
    case, model, history = CASES[name], model_of(name), History()
    state, found = real_state(model), []
    for server_round in (1, 2):
        updates = updates_of(state, server_round)
        examined = examine_round(
            model,
            state,
            updates,
            input_shape=case.input_shape,
            virtual_samples=case.virtual_samples,
            scoring=scoring,
            num_malicious=1,
            num_virtual_samples=16,
            device="cpu",
            seed=5,
            history=history,
            executor=executor,
        )
        found.append(examined)
        state = updates[0]
    return found


def one_round(scoring, updates=None, executor=None):
    """Examine a round of a small model with batch normalisation."""
    model = model_of("batch-norm-cnn")
    state = real_state(model)
    return examine_round(
        model,
        state,
        updates_of(state) if updates is None else updates,
        input_shape=(1, 6, 6),
        scoring=scoring,
        num_virtual_samples=16,
        device="cpu",
        seed=5,
        executor=executor,
    )


def with_first_number(value):
    """Give the updates of `one_round`, one of which begins with another number."""
    updates = updates_of(real_state(model_of("batch-norm-cnn")))
    updates[2]["0.bias"][0] = value
    return updates


def outcome(examined):
    """Give all that was found, numbers to the last digit."""
    return examined.report.sensitivity, [
        [getattr(each, part) for part in PARTS] for each in examined.candidates
    ]


class Watched(HardenedScoring):
    """Hardened scoring that leaves a file for each process that it runs in.

    Parameters
    ----------
    folder
        Where to leave them.
    then
        What happens in the first worker: ``"die"``, ``"wait"`` to be ended from
        outside, or nothing.
    """

    def __init__(self, folder, then=""):
        self.folder, self.then, self.server = Path(folder), then, os.getpid()

    def features(self, context, global_state, update):
        """Look at one update, unless there is something against it."""
        (self.folder / str(os.getpid())).touch()
        if self.then and os.getpid() != self.server and self._is_first():
            self._misbehave()
        if update["0.bias"][0] == REFUSED:
            raise RuntimeError("what the update made the model say")
        if update["0.bias"][0] == TOO_LARGE:
            raise MemoryError
        return super().features(context, global_state, update)

    def processes(self):
        """Name the processes that have looked at an update."""
        return {int(path.name) for path in self.folder.iterdir() if path.name.isdigit()}

    @property
    def mark(self):
        """The file that the first worker leaves."""
        return self.folder / "first"

    def _is_first(self):
        try:
            self.mark.touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def _misbehave(self):
        if self.then == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(600)
