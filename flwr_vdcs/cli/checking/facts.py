"""Anatomy and trial to facts: what the command's table says, line by line."""

from collections.abc import Iterable, Sequence

from rich.filesize import decimal

from flwr_vdcs.cli.checking.anatomy import Anatomy
from flwr_vdcs.cli.checking.setting import Setting
from flwr_vdcs.cli.checking.trial import Trial
from flwr_vdcs.errors import listed
from flwr_vdcs.report import INSENSITIVE
from flwr_vdcs.scoring import PaperScoring, needs_sensitivity


def facts_of(anatomy: Anatomy, trial: Trial, setting: Setting) -> dict[str, str]:
    """Give what there is to know, by label."""
    report = trial.report
    in_head = [n for name, n in anatomy.parameters.items() if trial.is_of_head(name)]
    return {
        "head": ", ".join(trial.heads) or "'' (the model itself)",
        "features": f"{trial.num_features:,} numbers that {trial.features_of}",
        "parameters": _counted(anatomy.parameters.values()),
        "in the head": _counted(in_head),
        "buffers": _counted(anatomy.buffers.values()),
        "frozen": _named(anatomy.frozen, "their deltas are zero"),
        "batch normalisation": _named(
            anatomy.normalisation, _statistics(report.scoring)
        ),
        "stochastic layers": _named(anatomy.stochastic, "off while scoring"),
        "scoring": report.scoring,
        "device": report.device,
        "virtual samples": _samples(setting),
        "time": f"{report.seconds:.2g} s a round with {setting.num_clients} clients",
        "estimated memory": f"{decimal(trial.estimate)} a round",
        "memory": _taken(trial, anatomy.num_bytes),
        "sensitivity": _sensitivity(trial),
    }


def _samples(setting: Setting) -> str:
    if setting.input_shape is None:
        return f"{setting.num_virtual_samples}, as they are drawn"
    return f"{setting.num_virtual_samples} of {setting.input_shape}"


def _counted(sizes: Iterable[int]) -> str:
    sizes = list(sizes)
    return f"{sum(sizes):,} numbers in {len(sizes)} arrays" if sizes else "none"


def _named(names: Sequence[str], meaning: str) -> str:
    return f"{len(names)} ({listed(names)}): {meaning}" if names else "none"


def _statistics(scoring: str) -> str:
    if scoring == PaperScoring.name:
        return "by the virtual samples' statistics; running ones are not looked at"
    return "running statistics are judged by how far they moved"


def _taken(trial: Trial, update_bytes: int) -> str:
    """Say what scoring took; Flower holds the updates anyway."""
    update = decimal(update_bytes)
    if not trial.peaks:
        return f"not measured on this system; an update has {update}"
    taken = [f"{decimal(size)} of {at}" for at, size in trial.peaks.items()]
    return f"{' and '.join(taken)}, besides the updates of {update} each"


def _sensitivity(trial: Trial) -> str:
    sensitivity = trial.report.sensitivity
    if sensitivity is None:
        return "not measured, as no update could be scored"
    if not needs_sensitivity(trial.report.scoring):
        return (
            f"{sensitivity:.2g}; {trial.report.scoring} scoring does not depend on it"
        )
    return (
        f"{sensitivity:.2g} on a scale from 0 to 1; below {INSENSITIVE:g} it is blind"
    )
