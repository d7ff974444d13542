"""Everything to a page: one HTML file that needs nothing from outside."""

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from flwr_vdcs._version import __version__
from flwr_vdcs.cli.chain import in_one_line, verified
from flwr_vdcs.cli.reading.line import VERDICTS
from flwr_vdcs.cli.reporting.charts.grid import Grid, grid_of
from flwr_vdcs.cli.reporting.charts.heatmaps import score_heatmap, verdict_heatmap
from flwr_vdcs.cli.reporting.charts.histogram import histogram
from flwr_vdcs.cli.reporting.charts.look import COLOURS, MARKS, SCALE
from flwr_vdcs.cli.reporting.charts.over_rounds import over_rounds
from flwr_vdcs.cli.reporting.data import data_of
from flwr_vdcs.cli.reporting.histories import History
from flwr_vdcs.cli.reporting.ledger import Ledger
from flwr_vdcs.cli.reporting.words.advice import advice_on, to_verify
from flwr_vdcs.cli.reporting.words.headline import headline
from flwr_vdcs.cli.reporting.words.notes import notes_on
from flwr_vdcs.cli.reporting.words.settings import runs_of, settings_of
from flwr_vdcs.cli.reporting.words.text import moment, plural

MAX_LISTED = 1_000
"""So many clients are listed, those that need attention first."""


def page_of(ledger: Ledger, histories: Sequence[History], paths: Sequence[Path]) -> str:
    """Draw a log as a page.

    Whatever clients wrote is escaped. As a second lock, the browser is told to run
    only scripts that carry a number drawn for this page, and to fetch nothing.
    """
    grid = grid_of(ledger, histories)
    chain = verified(paths)
    page: str = _template().render(
        nonce=secrets.token_urlsafe(),
        headline=headline(
            len(ledger.of("train")), histories, report_only=ledger.is_report_only
        ),
        chain=chain,
        chain_in_words=in_one_line(chain),
        notes=[*notes_on(ledger), *chain.notes],
        advice=[*advice_on(ledger, histories, chain), to_verify(paths, chain)],
        verdicts=VERDICTS,
        colours=COLOURS,
        marks=MARKS,
        scale=SCALE,
        grid=grid,
        heatmaps={"verdicts": verdict_heatmap(grid), "scores": score_heatmap(grid)},
        not_drawn=not_drawn(grid),
        charts={"over-rounds": over_rounds(ledger), "histogram": histogram(ledger)},
        histories=histories[:MAX_LISTED],
        not_listed=not_listed(histories),
        not_in_table=not_in_table(ledger),
        data=data_of(ledger, histories, grid),
        settings=settings_of(ledger, paths, in_one_line(chain)),
        runs=runs_of(ledger),
        made={"by": f"flwr-vdcs {__version__}", "at": moment(datetime.now(UTC))},
    )
    return page


def not_drawn(grid: Grid) -> str:
    """Say how much of a large federation the heat maps leave out."""
    clients, rounds = grid.left_out
    told = []
    if clients:
        drawn = plural(len(grid.clients), "client")
        told.append(
            f"Only {drawn} are drawn, those that need attention first; "
            f"{plural(clients, 'other')} not."
        )
    if rounds:
        drawn = plural(len(grid.columns), "round")
        told.append(
            f"Only the last {drawn} are drawn; {plural(rounds, 'earlier one')} not."
        )
    return " ".join(told)


def not_listed(histories: Sequence[History]) -> str:
    """Say how many clients the list leaves out."""
    left_out = len(histories) - MAX_LISTED
    if left_out <= 0:
        return ""
    return (
        f"Only the {MAX_LISTED:,} clients that need attention first are listed; "
        f"{plural(left_out, 'other')} not."
    )


def not_in_table(ledger: Ledger) -> str:
    """Say how many decisions the table leaves out, and where they are."""
    left_out = len(ledger.entry) - len(ledger.rows)
    if not left_out:
        return ""
    return (
        f"The table has the last {len(ledger.rows):,} of {len(ledger.entry):,} "
        "decisions, refused and other ones apart. For all of them, run "
        "flwr-vdcs report with --csv."
    )


def _template() -> Any:
    environment = Environment(
        loader=PackageLoader("flwr_vdcs.cli.reporting", "assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["moment"] = moment
    return environment.get_template("report.html")
