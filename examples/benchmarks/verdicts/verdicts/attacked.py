"""Recorded rounds to attacked rounds: what the server would have got."""

from __future__ import annotations

from dataclasses import dataclass

from bloodmnist.attacks import ATTACKS as KNOWN
from bloodmnist.attacks import Attack, generators
from bloodmnist.attacks.mod import list_parameters
from bloodmnist.attacks.view import AttackerView
from bloodmnist.model import State

from verdicts import adaptive
from verdicts.recording import ROUNDS, Recording


@dataclass(frozen=True)
class Poison:
    """One way to attack: what is done to the data, and to the trained model.

    Parameters
    ----------
    function : Attack
        From what an attacker knows to what it sends.
    data : str
        What the attackers train on: ``"honest"`` or a name of
        :data:`verdicts.recording.POISONINGS`.
    """

    function: Attack
    data: str = "honest"


TRAINED_ON_CLEAN_DATA = (
    "tmp-authors",
    "ump-paper",
    "ump-authors",
    "ump-sybil",
    "boost-2",
    "boost-3",
    "boost-100",
    "sign-flip",
    "sign-flip-10",
    "gaussian",
    "gaussian-sybil",
    "free-rider",
    "slow-drift",
    "ipm-0.1",
    "ipm-0.5",
    "ipm-10",
    "alie",
    "min-max",
    "min-sum",
    "mimic",
    "head-only",
    "buffer-only",
    "bias-mimic",
)

ATTACKS: dict[str, Poison] = {
    "tmp-paper-clean": Poison(KNOWN["tmp-paper"]),
    "tmp-paper-flipped": Poison(KNOWN["tmp-paper"], "flipped"),
    "label-flip": Poison(KNOWN["none"], "flipped"),
    "backdoor": Poison(KNOWN["backdoor"], "backdoor"),
    **{name: Poison(KNOWN[name]) for name in TRAINED_ON_CLEAN_DATA},
    "tolerated noise": Poison(adaptive.tolerated_noise),
    "jittered alie": Poison(adaptive.jittered_alie),
    "leaked seed": Poison(adaptive.leaked_seed),
    "with the current": Poison(adaptive.with_the_current),
}
"""Every attack by its name; the last four know the hardened scoring."""


@dataclass(frozen=True)
class AttackedRound:
    """A round in which the first clients are malicious.

    Parameters
    ----------
    recording : Recording
        The round without attack.
    attack : str
        Name of the attack.
    num_malicious : int
        M, how many clients attack: the first.
    states : list of State
        What all clients send.
    """

    recording: Recording
    attack: str
    num_malicious: int
    states: list[State]

    @property
    def received(self) -> State:
        """The global model."""
        return self.recording.received


def look(
    recording: Recording, client: int, num_malicious: int, data: str
) -> AttackerView:
    """Gather what one malicious client knows."""
    server_round, seed = ROUNDS[recording.stage], recording.trajectory.seed
    own = recording.honest if data == "honest" else recording.poisoned[data]
    return AttackerView(
        trained=own[client],
        received=recording.received,
        parameter_names=list_parameters(recording.trajectory.model),
        num_clients=recording.num_clients,
        num_malicious=num_malicious,
        generator=generators.for_client(seed, server_round, client),
        shared_generator=generators.for_colluders(seed, server_round),
        honest=lambda: recording.honest[num_malicious:],
        momentum=recording.momentum,
    )


def attack(recording: Recording, name: str, num_malicious: int) -> AttackedRound:
    """Let the first clients attack a recorded round."""
    poison = ATTACKS[name]
    poisoned = [
        poison.function(look(recording, client, num_malicious, poison.data))
        for client in range(num_malicious)
    ]
    states = poisoned + recording.honest[num_malicious:]
    return AttackedRound(recording, name, num_malicious, states)
