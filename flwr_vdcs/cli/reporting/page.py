"""Everything to a page: one HTML file that needs nothing from outside."""

import json
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from flwr_vdcs.cli.chain import in_one_line, verified
from flwr_vdcs.cli.reporting.charts.distributions import histogram, over_rounds
from flwr_vdcs.cli.reporting.charts.grid import Grid, grid_of
from flwr_vdcs.cli.reporting.charts.heatmaps import score_heatmap, verdict_heatmap
from flwr_vdcs.cli.reporting.charts.look import COLOURS, MARKS
from flwr_vdcs.cli.reporting.headline import headline
from flwr_vdcs.cli.reporting.notes import notes_on
from flwr_vdcs.cli.reporting.reading.decisions import decisions_of
from flwr_vdcs.cli.reporting.reading.history import histories_of
from flwr_vdcs.cli.reporting.reading.log import Log
from flwr_vdcs.cli.reporting.settings import moment, settings_of
from flwr_vdcs.cli.reporting.table import table_library, table_of


def page_of(log: Log, names: Mapping[str, str], paths: Sequence[Path]) -> str:
    """Draw a log as a page.

    Whatever clients wrote is escaped. As a second lock, the browser is told to run
    only scripts that carry a number drawn for this page, and to fetch nothing.
    """
    decisions = decisions_of(log, names)
    histories = histories_of(decisions)
    grid = grid_of(decisions, histories)
    chain = verified(paths)
    nonce = secrets.token_urlsafe()
    page: str = _template().render(
        nonce=nonce,
        headline=headline(
            len(log.of("train")), histories, report_only=log.is_report_only
        ),
        chain=chain,
        notes=[*notes_on(log), *chain.notes],
        colours=COLOURS,
        marks=MARKS,
        figures=_figures(grid, decisions),
        hover=grid.hover,
        histories=histories.reset_index().to_dict("records"),
        has_names=bool(names),
        settings=settings_of(log, paths, in_one_line(chain)),
        table=_allowed(table_of(decisions, histories), nonce),
        table_library=_allowed(table_library(), nonce),
        chart_library=Markup(get_plotlyjs()),
    )
    return page


def _figures(grid: Grid, decisions: pd.DataFrame) -> dict[str, Any]:
    figures: dict[str, go.Figure] = {
        "verdicts": verdict_heatmap(grid),
        "scores": score_heatmap(grid),
        "histogram": histogram(decisions),
        "over-rounds": over_rounds(decisions),
    }
    return {name: json.loads(figure.to_json()) for name, figure in figures.items()}


def _allowed(html: str, nonce: str) -> Markup:
    """Let the scripts of a library run."""
    return Markup(html.replace("<script", f'<script nonce="{nonce}"'))


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
