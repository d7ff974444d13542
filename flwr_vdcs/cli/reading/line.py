"""Bytes to a line: one round as the audit log has it, or None if it is no round."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from typing import Any, TypeVar, get_args

from flwr_vdcs.report import Decision, Phase, RoundReport, Run, Verdict

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
"""From the mildest to the severest."""

REFUSED = ("dropped", "quarantined", "banned")
"""What calls for attention; a client that had nothing to train on does not."""

Record = TypeVar("Record")
Check = Callable[[Any], bool]


@dataclass(frozen=True, kw_only=True)
class Line(RoundReport):
    """A round's report, and when it was written."""

    time: datetime

    def told(self, verdict: str) -> str:
        """Write a verdict as what was done, or would have been."""
        is_conditional = self.report_only and verdict != "kept"
        return f"would have been {verdict}" if is_conditional else verdict


def read_line(raw: bytes) -> Line | None:
    """Read a line; nothing is guessed, and fields that are not known are let be."""
    try:
        fields = json.loads(raw, parse_constant=_refuse)
        run = fields.get("run")
        read = {
            "time": datetime.fromisoformat(fields["time"]),
            "decisions": tuple(
                _made(Decision, DECISION, each) for each in fields["decisions"]
            ),
            "bans": tuple(fields.get("bans", ())),
            "run": None if run is None else _made(Run, RUN, run),
        }
        return _made(Line, LINE, fields | read)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _made(
    kind: type[Record], checks: Mapping[str, Check], given: Mapping[str, Any]
) -> Record:
    """Make a record of what it has fields for; those of later versions may lack."""
    fields = {name: given[name] for name in checks if name in given}
    for name, value in fields.items():
        if not checks[name](value):
            raise ValueError(name)
    return kind(**fields)


def _refuse(constant: str) -> float:
    raise ValueError(constant)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not _is_flag(value) and isfinite(value)


def _or_none(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _is_zoned(value: Any) -> bool:
    return isinstance(value, datetime) and value.tzinfo is not None


def _is_of_texts(value: Any) -> bool:
    return all(isinstance(each, str) for each in value)


DECISION: Mapping[str, Check] = {
    "client_id": _is_text,
    "verdict": VERDICTS.__contains__,
    "score": _or_none(_is_number),
    "reason": _is_text,
    "name": _is_text,
}

RUN: Mapping[str, Check] = {
    "id": _is_text,
    "num_malicious": lambda value: value == "auto" or _is_number(value),
    "threshold": _or_none(_is_number),
    "ban_threshold": _or_none(_is_number),
    "num_virtual_samples": _is_count,
    "reputation": _is_text,
    "versions": lambda value: _is_of_texts([*value, *value.values()]),
}

LINE: Mapping[str, Check] = {
    "time": _is_zoned,
    "server_round": _is_count,
    "decisions": lambda _made: True,
    "num_malicious": _is_count,
    "scoring": _is_text,
    "device": _is_text,
    "seed": _or_none(_is_count),
    "seconds": _is_number,
    "skipped": _is_flag,
    "phase": get_args(Phase).__contains__,
    "sensitivity": _or_none(_is_number),
    "bans": _is_of_texts,
    "scores_alike": _is_flag,
    "note": _is_text,
    "report_only": _is_flag,
    "run": lambda _made: True,
}
