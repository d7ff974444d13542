"""A board to what a terminal shows; what clients wrote is text, never markup."""

from collections.abc import Mapping

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from flwr_vdcs.cli.reading.labels import labels_of, printable
from flwr_vdcs.cli.reading.line import REFUSED, VERDICTS, Line
from flwr_vdcs.cli.reading.rounds import LoggedRound
from flwr_vdcs.cli.watching.board import MARKS, Board, Seen

STYLES = {
    ".": "green",
    "i": "cyan",
    "D": "black on yellow",
    "Q": "white on blue",
    "B": "white on red",
}

TRENDS = {1: "up", 0: "", -1: "down"}
ARROWS = {1: "\N{UPWARDS ARROW}", 0: " ", -1: "\N{DOWNWARDS ARROW}"}

LINES_BESIDE = 8
"""What stands above and below the clients."""

MIN_ROWS = 3
MIN_LABEL = 16
MIN_MARKS = 8
BESIDE_MARKS = 70
"""Columns of the terminal for all but the marks."""

LEGEND = ", ".join(f"{mark} {verdict}" for verdict, mark in MARKS.items())


def drawn(board: Board, names: Mapping[str, str], width: int, height: int) -> Group:
    """Draw a board as large as a terminal, the clients that need attention first."""
    clients = _in_order(board, names)
    most = max(MIN_ROWS, height - LINES_BESIDE)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    num_marks = max(MIN_MARKS, width - BESIDE_MARKS)
    table.add_column("client", max_width=max(MIN_LABEL, width // 5), no_wrap=True)
    table.add_column(_span(board, num_marks), no_wrap=True)
    table.add_column("last score", justify="right", no_wrap=True)
    table.add_column("refused", justify="right", no_wrap=True)
    table.add_column("last refusal")
    for label, seen in clients[:most]:
        table.add_row(
            Text(label),
            _coloured(board.strip(seen)[-num_marks:]),
            f"{_score(seen)} {ARROWS[seen.trend]}",
            str(sum(seen.counts[verdict] for verdict in REFUSED)),
            Text(printable(seen.refusal), no_wrap=True, overflow="ellipsis"),
        )
    left_out = len(clients) - most
    more = [Text(f"and {left_out} clients more")] if left_out > 0 else []
    return Group(Text(summary(board)), table, *more, Text(LEGEND, style="dim"))


def in_lines(board: Board, names: Mapping[str, str]) -> list[str]:
    """Write a board as plain lines: the summary, then one for each client."""
    lines = [summary(board)]
    for label, seen in _in_order(board, names):
        counts = ", ".join(
            f"{verdict} {seen.counts[verdict]}"
            for verdict in VERDICTS
            if seen.counts[verdict]
        )
        trend = TRENDS[seen.trend]
        score = f"score {_score(seen)}{f' ({trend})' if trend else ''}"
        refusal = f"; last refusal: {printable(seen.refusal)}" if seen.refusal else ""
        lines.append(f"{label}: [{board.strip(seen)}] {score}; {counts}{refusal}")
    return lines


def summary(board: Board) -> str:
    """Say how much was read, and what is unusual about it."""
    if not board.rounds:
        told = ["no round yet"]
    else:
        last = board.rounds[-1]
        told = [_counted(last.line, f"round {last.number}")]
        told += [f"{board.num_rounds} rounds in all"]
    unusual = {
        "skipped": board.num_skipped,
        "lost": board.num_lost,
        "evaluations with refused answers": board.num_evaluations,
        "unreadable lines": board.num_unreadable,
    }
    told += [f"{what}: {count}" for what, count in unusual.items() if count]
    return "; ".join(told)


def in_one_line(board: Board, logged: LoggedRound, names: Mapping[str, str]) -> str:
    """Write a new round: counts, and who was refused."""
    line = logged.line
    if line.phase == "aggregate":
        return f"round {logged.number}: lost: {printable(line.note)}"
    given = {each.client_id: each.name for each in line.decisions}
    labels = labels_of(_called({**_known(board), **given}, names))
    refused = [
        f"{labels[each.client_id]} {line.told(each.verdict)}"
        + (f" ({printable(each.reason)})" if each.reason else "")
        for each in line.decisions
        if each.verdict in REFUSED
    ]
    phase = "evaluation of round" if line.phase == "evaluate" else "round"
    return "; ".join([_counted(line, f"{phase} {logged.number}"), *refused])


def _counted(line: Line, title: str) -> str:
    """Count a round's verdicts."""
    counts = [
        f"{line.told(verdict)} {count}"
        for verdict in VERDICTS
        if (count := sum(each.verdict == verdict for each in line.decisions))
    ]
    skipped = ["skipped"] if line.skipped else []
    return f"{title}: {', '.join([*skipped, *counts]) or 'nobody answered'}"


def _in_order(board: Board, names: Mapping[str, str]) -> list[tuple[str, Seen]]:
    """Label clients, and put those first that were refused most of late."""
    labels = labels_of(_called(_known(board), names))
    clients = [(labels[client], seen) for client, seen in board.clients.items()]
    return sorted(clients, key=lambda each: (-board.num_refused(each[1]), each[0]))


def _known(board: Board) -> dict[str, str]:
    return {client: seen.name for client, seen in board.clients.items()}


def _called(known: Mapping[str, str], names: Mapping[str, str]) -> dict[str, str]:
    return {client: names.get(client) or name for client, name in known.items()}


def _span(board: Board, num_marks: int) -> str:
    numbers = [each.number for each in board.rounds][-num_marks:]
    return f"rounds {numbers[0]}-{numbers[-1]}" if numbers else "rounds"


def _coloured(strip: str) -> Text:
    text = Text()
    for mark in strip:
        text.append(mark, STYLES.get(mark, ""))
    return text


def _score(seen: Seen) -> str:
    return f"{seen.scores[-1]:.4g}" if seen.scores else "-"
