"""Files to a spreadsheet: every decision as a row of CSV, however many there are."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from flwr_vdcs.cli.reading.labels import printable
from flwr_vdcs.cli.reading.line import read_line
from flwr_vdcs.cli.reading.rounds import Numbering
from flwr_vdcs.cli.reporting.ledger import lines_of
from flwr_vdcs.cli.reporting.words.text import moment

COLUMNS = (
    "round",
    "run",
    "round of run",
    "phase",
    "time (UTC)",
    "client",
    "client id",
    "verdict",
    "score",
    "reason",
)

FORMULA = ("=", "+", "-", "@")
"""What a spreadsheet takes for the beginning of a formula."""


def write_csv(file: IO[str], paths: Sequence[Path], labels: Mapping[str, str]) -> None:
    """Write all decisions of some logs; what clients wrote cannot be a formula."""
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    writer.writerows(_rows(paths, labels))


def _rows(paths: Sequence[Path], labels: Mapping[str, str]) -> Iterator[list[object]]:
    numbering = Numbering()
    for line in filter(None, map(read_line, lines_of(paths))):
        place = numbering.place(line)
        for decision in line.decisions:
            client = decision.client_id
            yield [
                place.number,
                place.run,
                line.server_round,
                line.phase,
                moment(line.time),
                as_text(labels.get(client, client)),
                as_text(client),
                line.told(decision.verdict),
                "" if decision.score is None else decision.score,
                as_text(decision.reason),
            ]


def as_text(text: str) -> str:
    """Put an apostrophe before what a spreadsheet would calculate."""
    shown = printable(text)
    return f"'{shown}" if shown.startswith(FORMULA) else shown
