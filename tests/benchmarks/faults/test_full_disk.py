"""A disk that takes no more: the training goes on, and what is written stays whole."""

import json
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

pytest.importorskip("resource", reason="only POSIX limits the size of a file")

ROOT = Path(__file__).resolve().parents[3]

RUN = dedent(
    """
    import resource, signal, sys
    from pathlib import Path

    from flwr.serverapp.strategy import FedAvg

    from flwr_vdcs import Reputation
    from tests.benchmarks.faults.plugin import START, protected
    from tests.federation import InProcessGrid, honest_client, record_of

    log, state, limit = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    strategy = protected(
        FedAvg(),
        num_malicious=1,
        audit_log=log,
        state_path=state,
        reputation=Reputation(),
    )

    def fill(server_round, arrays):
        if server_round == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    result = strategy.start(
        InProcessGrid({node: honest_client(node) for node in range(5)}),
        record_of(START),
        num_rounds=5,
        evaluate_fn=fill,
    )
    assert result.arrays, "there is no model"
    print("rounds", len(strategy.reports))
    """
)


def run(log, state, limit):
    """Run five rounds; after the second no file may grow beyond a limit in bytes."""
    command = [sys.executable, "-c", RUN, str(log), str(state), str(limit)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("limit", [0, 2_500], ids=["full", "full within a line"])
def test_a_full_disk_does_not_end_the_run(tmp_path, limit):
    """Every round is trained; each that is not in the log is named in a warning."""
    log, state = tmp_path / "audit.jsonl", tmp_path / "state.json"
    said = run(log, state, limit)
    assert "rounds 5" in said
    whole = [line for line in log.read_bytes().split(b"\n") if is_whole(line)]
    assert len(whole) >= 2
    for missing in range(len(whole) + 1, 6):
        assert f"Round {missing} is missing from the audit log" in said
    assert json.loads(state.read_text())["state"]["num_rounds"] >= 2


def is_whole(line):
    """Tell whether a line is one of JSON."""
    try:
        json.loads(line)
    except json.JSONDecodeError:
        return False
    return True
