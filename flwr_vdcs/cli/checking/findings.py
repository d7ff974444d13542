"""Trial to findings: what would fail or is doubtful, and what to do about it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from flwr_vdcs.cli.checking.anatomy import Anatomy
from flwr_vdcs.cli.checking.reach import Reach
from flwr_vdcs.cli.checking.trial import Trial
from flwr_vdcs.errors import listed
from flwr_vdcs.scoring import needs_sensitivity

HARDENED = 'or use scoring="hardened", which looks at all parameters'


@dataclass(frozen=True)
class Finding:
    """Something to know before the model is trained.

    Attributes
    ----------
    fails : bool
        Whether the check would be of no use; otherwise it is doubtful.
    what : str
        What was found.
    remedy : str
        What to do about it.
    """

    fails: bool
    what: str
    remedy: str


def findings_of(anatomy: Anatomy, trial: Trial, reach: Reach | None) -> list[Finding]:
    """Judge a model; what fails comes first."""
    found = [*_quarantined(trial), *_out_of_memory(trial), *_random(trial)]
    if reach is not None:
        found += _misplaced(trial, reach)
    if needs_sensitivity(trial.report.scoring):
        found += _blind(anatomy, trial)
        found += _unseen(trial, reach) if reach is not None else []
    return sorted(found, key=lambda finding: not finding.fails)


def _quarantined(trial: Trial) -> Iterator[Finding]:
    decisions = trial.report.decisions
    reasons = Counter(d.reason for d in decisions if d.verdict == "quarantined")
    for reason, count in reasons.items():
        yield Finding(
            fails=True,
            what=f"{count} of {len(decisions)} updates are quarantined: {reason}",
            remedy="find the layer that makes it so, such as one that divides by a "
            "parameter",
        )


def _out_of_memory(trial: Trial) -> Iterator[Finding]:
    if trial.report.is_out_of_memory:
        yield Finding(
            fails=True,
            what="the server runs out of memory, so every round would be skipped",
            remedy="lower --num-virtual-samples, or name another --device",
        )


def _random(trial: Trial) -> Iterator[Finding]:
    if trial.is_random:
        yield Finding(
            fails=False,
            what="the model draws random numbers in evaluation mode too",
            remedy="let eval() turn that off: it is drawn alike for all clients, but "
            "scores vary more from round to round",
        )


def _misplaced(trial: Trial, reach: Reach) -> Iterator[Finding]:
    if reach.num_outputs > 1:
        yield Finding(
            fails=False,
            what=f"the model gives {reach.num_outputs} outputs, and only what "
            f"{trial.features_of} is looked at",
            remedy="name the head that matters most with --head",
        )
    if not reach.is_last:
        yield Finding(
            fails=False,
            what=f"no output of the model has as many classes as {trial.quoted_heads}",
            remedy="name the classification layer with --head, if it is another",
        )


def _blind(anatomy: Anatomy, trial: Trial) -> Iterator[Finding]:
    sensitivity = trial.report.sensitivity
    if trial.report.scores_alike:
        yield Finding(
            fails=True,
            what=f"all scores are the same{_as_frozen(anatomy, trial)}",
            remedy=f"train a layer before the head, name an earlier --head, {HARDENED}",
        )
    elif trial.report.is_insensitive:
        yield Finding(
            fails=True,
            what="the score is blind: the virtual samples hardly reach the features "
            f"(sensitivity {sensitivity:.1e})",
            remedy=f"{_for_sight(anatomy)}, {HARDENED}",
        )


def _for_sight(anatomy: Anatomy) -> str:
    return "train all layers" if anatomy.frozen else "name an earlier --head"


def _as_frozen(anatomy: Anatomy, trial: Trial) -> str:
    body = [name for name in anatomy.parameters if not trial.is_of_head(name)]
    is_frozen = set(body) <= set(anatomy.frozen)
    return ": all layers before the head are frozen" if is_frozen else ""


def _unseen(trial: Trial, reach: Reach) -> Iterator[Finding]:
    names = [name for name in reach.unseen if not trial.is_of_head(name)]
    if names:
        yield Finding(
            fails=False,
            what=f"the features do not depend on parameters outside the head: "
            f"{listed(names)}",
            remedy=f"name a later layer with --head, {HARDENED}",
        )
