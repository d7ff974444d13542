"""Grid and charts: every cell and bar is what the log says."""

import math
from itertools import pairwise

import pytest

pytest.importorskip("pandas", reason="the report extra is not installed")
pytest.importorskip("plotly", reason="the report extra is not installed")
pytest.importorskip("pydantic", reason="the report extra is not installed")

import numpy as np

from flwr_vdcs.cli.reporting.charts.distributions import histogram, over_rounds
from flwr_vdcs.cli.reporting.charts.grid import grid_of
from flwr_vdcs.cli.reporting.charts.heatmaps import score_heatmap, verdict_heatmap
from flwr_vdcs.cli.reporting.charts.look import COLOURS, MARKS
from flwr_vdcs.cli.reporting.reading.decisions import VERDICTS, decisions_of
from flwr_vdcs.cli.reporting.reading.history import histories_of
from flwr_vdcs.cli.reporting.reading.log import read_log
from flwr_vdcs.cli.reporting.text import safe, shortened, wrapped, written
from tests.cli.logs import (
    HOSTILE,
    a_round,
    an_evaluation,
    decision,
    hostile_rounds,
    three_rounds,
    write,
)

NAN = math.nan


@pytest.fixture
def decisions(tmp_path):
    """Give a way to write reports and lay out their decisions."""

    def lay_out(reports, names=None):
        log = read_log([write(tmp_path / "audit.jsonl", reports)])
        return decisions_of(log, names or {})

    return lay_out


def grid(decisions):
    """Lay out a grid."""
    return grid_of(decisions, histories_of(decisions))


def test_the_grid_by_hand(decisions):
    """Rows are b, c and a, as b was banned; columns are rounds 1 to 3."""
    made = grid(decisions(three_rounds(), {"b": "hospital-b"}))
    assert made.clients == ["hospital-b", "c", "a"]
    assert made.rounds == ["1", "2", "3"]
    assert made.new_runs == []
    np.testing.assert_array_equal(made.verdicts, [[2, 2, 4], [3, 0, 0], [0, 0, 0]])
    expected = [[0.1, 0.2, NAN], [NAN, 0.7, 0.5], [0.9, 0.8, 0.6]]
    np.testing.assert_allclose(made.scores, expected, rtol=1e-6)
    assert made.hover[0][0] == (
        "hospital-b, round 1\ndropped, score 0.1\namong the 1 lowest of 2 scores"
    )
    assert made.hover[0][2].startswith("hospital-b, round 3\nbanned, no score")


def test_who_was_not_asked_leaves_a_gap(decisions):
    """Clients come and go; one seen in evaluations only has an empty row."""
    rounds = [
        a_round(1, [decision("a")]),
        an_evaluation(1, [decision("z", "quarantined")]),
        a_round(2, [decision("b")]),
    ]
    made = grid(decisions(rounds))
    expected = [[0, NAN], [NAN, 0], [NAN, NAN]]
    np.testing.assert_array_equal(made.verdicts, expected)
    assert made.hover[2] == ["", ""]


def test_of_several_decisions_in_a_round_the_severest_shows(decisions):
    """A client that answers twice is kept once and quarantined once."""
    rounds = [a_round(1, [decision("a"), decision("a", "quarantined", reason="again")])]
    made = grid(decisions(rounds))
    assert made.verdicts.tolist() == [[3.0]]
    assert "again" in made.hover[0][0]


def test_a_new_run_is_marked_and_named(decisions):
    """It begins at the third column; the label says which round of it this is."""
    made = grid(decisions([a_round(n, [decision("a")]) for n in (1, 2, 1)]))
    assert made.new_runs == [2]
    assert "round 3 (round 1 of run 2)" in made.hover[0][2]
    assert "run" not in made.hover[0][0].replace("round", "")
    [line] = verdict_heatmap(made).layout.shapes
    assert line.x0 == line.x1 == 1.5


def test_nothing_that_a_client_wrote_is_markup_in_a_chart(decisions):
    """Charts know tags too; entities are turned back into text by them."""
    made = grid(decisions(hostile_rounds()))
    cells = [text for row in made.hover for text in row]
    for text in cells:
        assert not {"<", ">"} & set(text)
    assert not any("<" in label for label in made.clients)
    assert any(safe(HOSTILE[0]) in text for text in cells)


def test_verdicts_have_colours_and_letters(decisions):
    """Each verdict has a step of the scale, and all but kept have a letter."""
    figure = verdict_heatmap(grid(decisions(three_rounds())))
    [trace] = figure.data
    steps = [colour for _, colour in trace.colorscale]
    assert steps == [COLOURS[verdict] for verdict in VERDICTS for _ in range(2)]
    assert list(trace.text) == [["D", "D", "B"], ["Q", "", ""], ["", "", ""]]
    assert list(MARKS) == list(COLOURS) == list(VERDICTS)


def test_colours_differ_in_lightness(decisions):
    """Who sees no hues still sees five greys that are far apart."""

    def luminance(colour: str) -> float:
        channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        return float(channels**2.2 @ [0.2126, 0.7152, 0.0722])

    greys = sorted(luminance(colour) for colour in COLOURS.values())
    contrasts = [(light + 0.05) / (dark + 0.05) for dark, light in pairwise(greys)]
    assert min(contrasts) > 1.5


def test_large_grids_have_no_letters_and_low_rows(decisions):
    """100 clients in 20 rounds would not have room for letters."""
    ids = [str(client) for client in range(100)]
    rounds = [a_round(n, [decision(each) for each in ids]) for n in range(1, 21)]
    figure = verdict_heatmap(grid(decisions(rounds)))
    assert figure.data[0].texttemplate is None
    assert figure.layout.height == 100 * 12 + 70
    assert len(figure.layout.yaxis.ticktext) == 100


def test_scores_far_out_do_not_squeeze_the_others(decisions):
    """One score of -1000 among a hundred takes the end colour."""
    scored = [decision(str(n), score=n / 100) for n in range(100)]
    rounds = [a_round(1, [*scored, decision("x", "dropped", -1000.0)])]
    [trace] = score_heatmap(grid(decisions(rounds))).data
    assert trace.zmin == pytest.approx(0.01, abs=0.02)
    assert trace.zmax == pytest.approx(0.97, abs=0.02)


def test_a_log_without_scores_can_be_drawn(decisions):
    """Everybody was quarantined."""
    laid_out = decisions([a_round(1, [decision("a", "quarantined")])])
    [trace] = score_heatmap(grid(laid_out)).data
    assert (trace.zmin, trace.zmax) == (0.0, 1.0)
    assert sum(sum(bar.y) for bar in histogram(laid_out).data) == 0
    assert over_rounds(laid_out).layout.yaxis.range == (-0.05, 1.05)


def test_the_histogram_counts_every_score_once(decisions):
    """Five kept and two dropped in training; evaluations have no scores."""
    kept, dropped = histogram(decisions(three_rounds())).data
    assert (kept.name, sum(kept.y)) == ("kept", 5)
    assert (dropped.name, sum(dropped.y)) == ("dropped", 2)
    assert dropped.marker.pattern.shape == "/"


def test_equal_scores_can_be_drawn(decisions):
    """A range of no width is widened."""
    laid_out = decisions([a_round(1, [decision("a"), decision("b")])])
    assert sum(histogram(laid_out).data[0].y) == 2


def test_scores_over_the_rounds_by_hand(decisions):
    """Range and median of 0.8, 0.7 and 0.6 in round 1; 0.2 was dropped there."""
    kept = [decision(c, score=s) for c, s in (("a", 0.8), ("b", 0.7), ("c", 0.6))]
    rounds = [a_round(1, [*kept, decision("d", "dropped", 0.2)])]
    low, high, median, dropped = over_rounds(decisions(rounds)).data
    found = (low.y[0], high.y[0], median.y[0])
    assert found == pytest.approx((0.6, 0.797, 0.7), abs=0.01)
    assert (dropped.x[0], dropped.customdata[0]) == (1, 0.2)


def test_text_is_written_for_people():
    """Long ids are shortened in the middle, reasons are broken into lines."""
    assert shortened("hospital-1") == "hospital-1"
    assert shortened("1234567890123456789") == "1234567…3456789"
    assert (written(0.123456), written(NAN)) == ("score 0.1235", "no score")
    assert wrapped("word " * 20).count("\n") == 1
    assert wrapped("<b>") == "&lt;b&gt;"
    assert wrapped("") == ""
