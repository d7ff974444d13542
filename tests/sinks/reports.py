"""Reports to tell sinks of."""

from flwr_vdcs.report import Decision, RoundReport, Run

DECISIONS = (
    Decision("1", "kept", 0.5, name="north"),
    Decision("2", "kept", 0.25),
    Decision("3", "dropped", -0.5, "low", name="south"),
    Decision("4", "quarantined", None, "NaN"),
    Decision("5", "banned"),
    Decision("6", "idle", None, "it has no examples"),
)
"""One verdict of each kind, and one more."""

QUIET = DECISIONS[:2]


def run(run_id: str = "a", num_malicious: int | str = "auto") -> Run:
    """Make the settings of a run."""
    versions = {"flwr-vdcs": "0.2", "flwr": "1.42", "torch": "2.9"}
    return Run(run_id, num_malicious, -1.0, -2.5, 16, "", versions)


def report(server_round: int = 1, **fields) -> RoundReport:
    """Make a report with one verdict of each kind, or with what is given."""
    given = {"decisions": DECISIONS, "sensitivity": 0.125, "run": run(), **fields}
    return RoundReport(
        server_round=server_round,
        num_malicious=1,
        scoring="paper",
        device="cpu",
        seed=0,
        seconds=0.5,
        **given,
    )


def crowd(num_clients: int) -> tuple[Decision, ...]:
    """Keep so many clients."""
    return tuple(Decision(str(k), "kept", float(k)) for k in range(num_clients))
