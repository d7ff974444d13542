"""An entry to what came of it: two rounds with the plugin around Flower's FedAvg."""

from __future__ import annotations

import resource
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from faults.grid import ProcessGrid
from flwr.serverapp.strategy import FedAvg

from compatibility.client import Client, built, record_of
from compatibility.entry import Entry
from flwr_vdcs import Decision, RoundReport, VirtualConsistencyStrategy
from flwr_vdcs.errors import VirtualConsistencyError

NUM_CLIENTS = 6
NUM_ROUNDS = 2
ATTACKER = NUM_CLIENTS
"""The attacker's node id; those of the honest clients go up to it."""

FIELDS = ["kind", "name", "library", "version", "written", "travels", "result"]
FIELDS += ["honest kept", "attacker", "seconds", "MiB", "message", "instead", "commit"]

WORKS, REFUSED, FAILS, MISSING = "works", "refused", "fails", "not installed"
"""All that may come of an entry.

It works where all honest clients are kept in all rounds, and the attacker is dropped or
clipped in all. It is refused where the plugin raises an error of its own.
"""


def play(entry: Entry) -> dict[str, Any]:
    """Play an entry, whatever comes of it, and give its row."""
    row = dict.fromkeys(FIELDS, "") | described(entry)
    try:
        row["version"] = version(entry.library)
    except PackageNotFoundError:
        return {**row, "result": MISSING}
    try:
        return {**row, **_outcome(entry)}
    except VirtualConsistencyError as error:
        return {**row, "result": REFUSED, "message": _said(error)}
    except Exception as error:  # noqa: BLE001 # a model's failure is a row of the table
        return {**row, "result": FAILS, "message": _said(error)}


def described(entry: Entry) -> dict[str, Any]:
    """Say what is played."""
    return {
        "kind": entry.kind,
        "name": entry.name,
        "library": entry.library,
        "written": entry.written,
        "travels": entry.travels.says,
        "instead": entry.instead,
    }


def _outcome(entry: Entry) -> dict[str, Any]:
    model = built(entry)
    initial = record_of(entry.travels.take(model))
    clients = {
        node: Client(entry, node, attacks=node == ATTACKER)
        for node in range(1, NUM_CLIENTS + 1)
    }
    peak, begin = _peak(), time.perf_counter()
    strategy: Any = VirtualConsistencyStrategy(
        FedAvg(fraction_evaluate=0.0), model=entry.serves(model), seed=1, **entry.writes
    )
    taken = time.perf_counter() - begin
    nodes = {node: client.answer for node, client in clients.items()}
    strategy.start(ProcessGrid(nodes), initial, num_rounds=NUM_ROUNDS)
    taken += sum(report.seconds for report in strategy.reports)
    growth = _peak() - peak
    return {**judged(strategy.reports), "seconds": f"{taken:.1f}", "MiB": growth}


def judged(reports: Sequence[RoundReport]) -> dict[str, str]:
    """Tell whether all honest clients were kept, and what became of the attacker.

    The message is the first reason that was given, where it does not work.
    """
    decisions = [decision for report in reports for decision in report.decisions]
    of_attacker = [d for d in decisions if d.client_id == str(ATTACKER)]
    honest = [d for d in decisions if d.client_id != str(ATTACKER)]
    num_kept = sum(decision.verdict == "kept" for decision in honest)
    num_honest = NUM_ROUNDS * (NUM_CLIENTS - 1)
    fates = Counter(map(_fate, of_attacker))
    is_caught = fates.total() == NUM_ROUNDS and not fates["kept"]
    works = is_caught and num_kept == num_honest
    return {
        "result": WORKS if works else FAILS,
        "honest kept": f"{num_kept} of {num_honest}",
        "attacker": ", ".join(fates),
        "message": "" if works else _first(d.reason for d in (*honest, *of_attacker)),
    }


def _fate(decision: Decision) -> str:
    return "clipped" if _is_clipped(decision) else decision.verdict


def _is_clipped(decision: Decision) -> bool:
    return decision.verdict == "kept" and "clipped" in decision.reason


def _first(reasons: Iterable[str]) -> str:
    return next(filter(None, reasons), "")


def _said(error: Exception) -> str:
    """Give the kind of an error and the first line of what it says."""
    [first, *_] = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {first}"


def _peak() -> int:
    """Give the peak memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
