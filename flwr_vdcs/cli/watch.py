"""The command ``watch``: a running federation in the terminal."""

from collections import deque
from collections.abc import Mapping
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Annotated

import typer

from flwr_vdcs.cli.outcome import INTERRUPTED, explained
from flwr_vdcs.cli.reading.line import read_line
from flwr_vdcs.cli.reading.names import NamesFile, read_names
from flwr_vdcs.cli.reading.rounds import LoggedRound
from flwr_vdcs.cli.watching.board import Board
from flwr_vdcs.cli.watching.following import Follower

if TYPE_CHECKING:
    from rich.console import Console


def watch(
    log: Annotated[
        Path,
        typer.Argument(dir_okay=False, help="The audit log; it need not exist yet."),
    ],
    names: NamesFile = None,
    rounds: Annotated[
        int, typer.Option(min=1, max=1000, help="How many rounds are shown.")
    ] = 30,
    interval: Annotated[
        float, typer.Option(min=0.05, help="Seconds between two looks at the log.")
    ] = 1.0,
    *,
    once: Annotated[
        bool, typer.Option("--once", help="Show the present state, and end.")
    ] = False,
) -> None:
    """Follow an audit log: who is kept, dropped, quarantined or banned, and why.

    Ends with Ctrl-C.
    """
    from rich.console import Console

    console = Console()
    board, follower = Board(rounds), Follower(log)
    try:
        with explained():
            called = read_names(names)
            if once:
                _take(board, follower)
                _show_once(board, called, console)
            elif console.is_terminal:
                _draw(board, follower, called, console, interval)
            else:
                _print(board, follower, called, interval)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    finally:
        follower.close()


def _take(board: Board, follower: Follower) -> list[LoggedRound]:
    """Enter what is new, and give the last rounds of it."""
    fresh: deque[LoggedRound] = deque(maxlen=board.rounds.maxlen)
    for raw in follower.new_lines():
        if raw.strip() and (logged := board.add(read_line(raw))):
            fresh.append(logged)
    return [*fresh]


def _show_once(board: Board, names: Mapping[str, str], console: "Console") -> None:
    from flwr_vdcs.cli.watching.drawing import drawn, in_lines

    if console.is_terminal:
        console.print(
            drawn(board, names, console.width, len(board.clients) + console.height)
        )
        return
    for line in in_lines(board, names):
        typer.echo(line)


def _draw(
    board: Board,
    follower: Follower,
    names: Mapping[str, str],
    console: "Console",
    interval: float,
) -> None:
    """Draw the board anew as the log grows."""
    from rich.live import Live

    from flwr_vdcs.cli.watching.drawing import drawn

    with Live(console=console, auto_refresh=False) as live:
        while True:
            _take(board, follower)
            board_now = drawn(board, names, console.width, console.height)
            live.update(board_now, refresh=True)
            sleep(interval)


def _print(
    board: Board, follower: Follower, names: Mapping[str, str], interval: float
) -> None:
    """Write a line for each new round."""
    from flwr_vdcs.cli.watching.drawing import in_one_line

    while True:
        for logged in _take(board, follower):
            typer.echo(in_one_line(board, logged, names))
        sleep(interval)
