"""Decisions to table: every decision, to be searched, sorted and narrowed."""

import pandas as pd
from itables import JavascriptFunction, options, to_html_datatable
from itables.javascript import generate_init_offline_itables_html

from flwr_vdcs.cli.reporting.settings import moment

PAGE_LENGTHS = [15, 50, 200]

LAYOUT = {
    "topStart": "search",
    "topEnd": "pageLength",
    "bottomStart": "info",
    "bottomEnd": "paging",
}

WRITE_SCORE = JavascriptFunction(
    r"""function (score, type) {
        const found = typeof score === "number" && Number.isFinite(score);
        if (type === "display") return found ? score.toFixed(4) : "\u2013";
        return found ? score : -Infinity;
    }"""
)
"""Clients without a score are sorted below all others."""

ANNOUNCE = JavascriptFunction(
    """function () {
        const table = this.api();
        document.dispatchEvent(new CustomEvent("decisions-ready", {detail: table}));
    }"""
)
"""Lets the page's own script get hold of the table when it is first drawn."""


def table_of(decisions: pd.DataFrame, histories: pd.DataFrame) -> str:
    """Write the table as HTML; what clients sent is escaped.

    Its first column, which is hidden, is the client's row in the histories.
    """
    shown = pd.DataFrame(
        {
            "place": decisions["client_id"].map(histories.index.get_loc),
            "round": decisions["round"],
            "client": decisions["client"],
            "verdict": decisions["told"],
            "score": decisions["score"],
            "reason": decisions["reason"],
            "phase": decisions["phase"],
            "time (UTC)": decisions["time"].map(moment),
        }
    )
    return to_html_datatable(
        shown,
        table_id="decisions",
        connected=False,
        allow_html=False,
        maxBytes=0,
        showIndex=False,
        display_logo_when_loading=False,
        classes="display",
        style="width:100%",
        pageLength=PAGE_LENGTHS[0],
        lengthMenu=PAGE_LENGTHS,
        layout=LAYOUT,
        order=[[1, "asc"]],
        columnDefs=[
            {"targets": [0], "visible": False, "searchable": False},
            {"targets": [4], "render": WRITE_SCORE},
            {"targets": [5], "className": "reason"},
            {"targets": [2, 3, 5, 6, 7], "type": "string"},
        ],
        drawCallback=ANNOUNCE,
        text_in_header_can_be_selected=False,
    )


def table_library() -> str:
    """Give the scripts and styles that the table needs."""
    return generate_init_offline_itables_html(options.dt_bundle)
