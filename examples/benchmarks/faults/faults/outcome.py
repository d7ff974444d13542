"""Files to outcome: what was lost, as the runs of a federation have written it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deployment.federation import Federation
from deployment.lines import read_lines

from faults.watching import Watch
from flwr_vdcs.verification import verify

NUM_HOSPITALS = 4
FAULTY_ROUND = 2
BANNED = "banned"


@dataclass(frozen=True)
class Outcome:
    """What came of one trial.

    Parameters
    ----------
    rounds_finished : int
        Rounds of training with a new model, over all runs of the trial.
    replies_missing : int
        Hospitals that did not answer, or were not there to be asked, summed over them.
    quarantined : int
        Replies that were quarantined, a second answer of a hospital among them.
    rounds_lost : int
        Rounds that were judged and whose model was lost.
    seconds_before, seconds_faulty : float
        How long the round before the fault took, and from there to the next model.
    bans, bans_kept : int
        Hospitals banned when the fault came, and how many of them were banned in every
        round after it.
    answered_last : int
        How many hospitals answered in the last round.
    chain_is_whole : bool
        Whether the audit log's chain of hashes holds, over all runs.
    accuracy : float
        The last model's.
    """

    rounds_finished: int
    replies_missing: int
    quarantined: int
    rounds_lost: int
    seconds_before: float
    seconds_faulty: float
    bans: int
    bans_kept: int
    answered_last: int
    chain_is_whole: bool
    accuracy: float


def outcome(
    federation: Federation,
    *watches: Watch,
    seconds: float,
    before: Sequence[Mapping[str, Any]] = (),
) -> Outcome:
    """Look at what the runs have written.

    Parameters
    ----------
    federation : Federation
        Where they ran.
    watches : Watch
        The runs.
    seconds : float
        How long it took from before the fault to the next model.
    before : Sequence
        The audit log as it was when the fault came, if that ended a run.
    """
    audit = read_lines(federation.layout.audit_log)
    num_finished = sum(
        line["round"] > 0 for line in read_lines(federation.layout.rounds)
    )
    after = [_clients(line, BANNED) for line in audit[len(before) :]]
    banned = _clients(before[-1], BANNED) if before else set()
    return Outcome(
        rounds_finished=num_finished,
        replies_missing=sum(NUM_HOSPITALS - len(line["decisions"]) for line in audit),
        quarantined=sum(len(_clients(line, "quarantined")) for line in audit),
        rounds_lost=len(audit) - num_finished,
        seconds_before=watches[0].seconds(FAULTY_ROUND - (not before)),
        seconds_faulty=seconds,
        bans=len(banned),
        bans_kept=len(banned.intersection(*after)),
        answered_last=len(audit[-1]["decisions"]) - len(after[-1]),
        chain_is_whole=not verify([federation.layout.audit_log]).problem,
        accuracy=watches[-1].run.rounds()[-1]["accuracy"],
    )


def _clients(line: Mapping[str, Any], verdict: str) -> set[str]:
    decisions = line["decisions"]
    return {each["client_id"] for each in decisions if each["verdict"] == verdict}
