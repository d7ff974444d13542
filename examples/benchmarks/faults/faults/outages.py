"""Folder to outage: parts of a real deployment fail in the middle of a round.

Every trial starts SuperLink and SuperNodes, each a process of its own behind TLS, does
harm to one of them in the middle of a round, and looks at what is left.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil
from deployment.federation import Federation
from deployment.lines import read_lines
from deployment.program import Program
from deployment.run import SERVER_APP
from deployment.waiting import wait_until

from faults.outcome import FAULTY_ROUND, NUM_HOSPITALS, Outcome, outcome
from faults.watching import Watch

CLIENT_APP = "flwr-clientapp"
VICTIM, BROKEN = "hospital-2", "hospital-3"
SECONDS_TO_WAIT = 900
SECONDS_OF_TRAINING = 7
"""Of the processor: enough to have loaded PyTorch and begun."""

SECONDS_BETWEEN_LOOKS = 0.001

CONFIG = {"local-epochs": 1, "num-server-rounds": 4, "round-timeout": 120}


def kill_hospital(folder: Path) -> Outcome:
    """Kill a SuperNode while it trains, and start it again when the round is over."""
    return _harm_for_a_round(folder, Program.kill, Program.start)


def halt_client_app(folder: Path) -> Outcome:
    """Let a ClientApp stand still for good in the middle of its training."""
    config = CONFIG | {"local-epochs": 50}
    with Federation(folder, hospitals=NUM_HOSPITALS) as federation:
        watch = Watch(federation.start_run(config))
        for process in _wait_until_it_trains(federation, watch, SECONDS_OF_TRAINING):
            process.suspend()
        watch.finish()
        return outcome(federation, watch, seconds=watch.seconds(FAULTY_ROUND))


def halt_hospital(folder: Path) -> Outcome:
    """Let a SuperNode and its ClientApp stand still until the round is over.

    Then they go on where they were, and their answer comes too late.
    """
    return _harm_for_a_round(folder, Program.pause, Program.resume)


def kill_server(folder: Path) -> Outcome:
    """Kill SuperLink and ServerApp between a round's verdicts and its model.

    One hospital sends NaN and is banned after two rounds. The server is killed in the
    third, starts again with the same database, and a second run goes on from the saved
    model and the saved bans.
    """
    config = CONFIG | {"false-bans": 0.01}
    broken = {BROKEN: 'poison="nan"'}
    with Federation(folder, hospitals=NUM_HOSPITALS, node_configs=broken) as federation:
        first = Watch(federation.start_run(config))
        first.wait_for(FAULTY_ROUND)
        _kill_in_aggregation(federation, FAULTY_ROUND + 1)
        killed, before = time.monotonic(), read_lines(federation.layout.audit_log)
        federation.superlink.restart()
        federation.wait_answering()
        federation.wait_online(federation.names)
        model = {"initial-model": str(federation.layout.output / "model.pt")}
        second = Watch(federation.start_run(config | model | {"num-server-rounds": 2}))
        second.wait_for(1)
        seconds = time.monotonic() - killed
        second.finish()
        return outcome(federation, first, second, seconds=seconds, before=before)


TRIALS: Mapping[str, Callable[[Path], Outcome]] = {
    "a SuperNode is killed while it trains": kill_hospital,
    "a ClientApp stands still while it trains": halt_client_app,
    "a SuperNode stands still and answers late": halt_hospital,
    "the server is killed before it aggregates": kill_server,
}


def _harm_for_a_round(
    folder: Path, harm: Callable[[Program], None], mend: Callable[[Program], None]
) -> Outcome:
    """Harm a SuperNode while it trains, and mend it when the round is over."""
    with Federation(folder, hospitals=NUM_HOSPITALS) as federation:
        watch = Watch(federation.start_run(CONFIG))
        _wait_until_it_trains(federation, watch)
        harm(federation.supernodes[VICTIM])
        watch.wait_for(FAULTY_ROUND)
        mend(federation.supernodes[VICTIM])
        watch.finish()
        return outcome(federation, watch, seconds=watch.seconds(FAULTY_ROUND))


def _wait_until_it_trains(
    federation: Federation, watch: Watch, seconds: float = 0
) -> list[psutil.Process]:
    """Wait for the victim's ClientApp of the round that is to be faulty.

    It is given back once it has used so many seconds of a processor.
    """
    watch.wait_for(FAULTY_ROUND - 1)
    victim = federation.supernodes[VICTIM]
    since = federation.layout.rounds.stat().st_mtime

    def found() -> list[psutil.Process]:
        new = [p for p in victim.find(CLIENT_APP) if p.create_time() > since]
        return [p for p in new if _seconds_used(p) >= seconds]

    wait_until(
        f"{VICTIM} trains",
        lambda: bool(found()),
        SECONDS_TO_WAIT,
        [federation.superlink, victim],
    )
    return found()


def _seconds_used(process: psutil.Process) -> float:
    """Tell how long it has kept a processor busy; not at all if it has ended."""
    try:
        return float(process.cpu_times().user)
    except psutil.NoSuchProcess:
        return 0.0


def _kill_in_aggregation(federation: Federation, server_round: int) -> None:
    """Kill the server once it has written what it decided, before it has a model.

    Raises
    ------
    FederationError
        If the round is not judged in time.
    """
    server = federation.superlink.find(SERVER_APP)
    deadline = time.monotonic() + SECONDS_TO_WAIT
    while len(read_lines(federation.layout.audit_log)) < server_round:
        if time.monotonic() > deadline:
            federation.superlink.check()
            raise TimeoutError(f"round {server_round} was not judged")
        time.sleep(SECONDS_BETWEEN_LOOKS)
    for process in server:
        process.kill()
    federation.superlink.kill()
