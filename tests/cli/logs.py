"""Audit logs to test with, written by the package itself."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from flwr_vdcs.records.audit_log import AuditLog
from flwr_vdcs.report import Decision, RoundReport

HOSTILE = (
    "<script>window.pwned = 1</script>",
    "</script><script>window.pwned = 2</script>",
    "<img src=x onerror=window.pwned=3>",
    '"\' onmouseover="window.pwned=4" x=\'',
    "`${window.pwned = 5}`",
    "{{ 7 * 7 }} %{x} &lt;b&gt; <!-- <b>",
    "<a href='javascript:window.pwned=6'>look</a>",
)
"""What a client may call itself or its arrays."""


def decision(
    client_id: str, verdict: Any = "kept", score: float | None = 0.9, reason: str = ""
) -> Decision:
    """Make a decision; only those kept or dropped have a score."""
    has_score = verdict in {"kept", "dropped"}
    return Decision(client_id, verdict, score if has_score else None, reason)


def a_round(
    server_round: int, decisions: Iterable[Decision], **changes: Any
) -> RoundReport:
    """Make a report of a training round."""
    told: dict[str, Any] = {
        "num_malicious": 1,
        "scoring": "paper",
        "device": "cpu",
        "seed": 7,
        "seconds": 0.5,
        "sensitivity": 0.4,
    }
    return RoundReport(server_round, tuple(decisions), **(told | changes))


def an_evaluation(server_round: int, decisions: Iterable[Decision]) -> RoundReport:
    """Make a report of an evaluation in which an answer was quarantined."""
    return a_round(
        server_round, decisions, phase="evaluate", num_malicious=0, seed=None
    )


def three_rounds() -> list[RoundReport]:
    """Let ``b`` be dropped twice and banned, and ``c`` quarantined once."""
    return [
        a_round(
            1,
            [
                decision("a", score=0.9),
                decision("b", "dropped", 0.1, "among the 1 lowest of 2 scores"),
                decision("c", "quarantined", reason="fc.weight: found nan"),
            ],
        ),
        a_round(
            2,
            [
                decision("a", score=0.8),
                decision("b", "dropped", 0.2, "among the 1 lowest of 3 scores"),
                decision("c", score=0.7),
            ],
        ),
        an_evaluation(
            2, [decision("a", score=None), decision("c", "quarantined", reason="NaN")]
        ),
        a_round(
            3,
            [
                decision("a", score=0.6),
                decision("c", score=0.5),
                decision("b", "banned", reason="banned until round 53"),
            ],
        ),
    ]


def hostile_rounds() -> list[RoundReport]:
    """Put hostile text wherever a client can write."""
    return [
        a_round(
            1,
            [
                decision(client_id, "dropped", place / 10, f"reason {client_id}")
                for place, client_id in enumerate(HOSTILE)
            ],
        )
    ]


def write(path: Path, reports: Iterable[RoundReport]) -> Path:
    """Write a log as a server does."""
    log = AuditLog(path)
    for report in reports:
        log.append(report)
    return path


def change(path: Path, line: int, changes: Mapping[str, str]) -> None:
    """Change one line of a log afterwards."""
    lines = path.read_text().splitlines(keepends=True)
    for old, new in changes.items():
        assert old in lines[line - 1]
        lines[line - 1] = lines[line - 1].replace(old, new)
    path.write_text("".join(lines))
