"""Grid and charts: every cell, bar and line is what the log says."""

import math
import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from flwr_vdcs.cli.reading.line import VERDICTS
from flwr_vdcs.cli.reporting.charts.frame import BOTTOM, HEIGHT, LEFT, TOP, WIDTH, Frame
from flwr_vdcs.cli.reporting.charts.grid import MAX_CLIENTS, grid_of
from flwr_vdcs.cli.reporting.charts.heatmaps import score_heatmap, verdict_heatmap
from flwr_vdcs.cli.reporting.charts.histogram import counts_of, histogram
from flwr_vdcs.cli.reporting.charts.look import COLOURS, MARKS, places, ticks
from flwr_vdcs.cli.reporting.charts.over_rounds import over_rounds
from flwr_vdcs.cli.reporting.charts.scores import scores_of
from flwr_vdcs.cli.reporting.histories import histories_of
from flwr_vdcs.cli.reporting.ledger import read_logs
from flwr_vdcs.cli.reporting.page import not_drawn
from flwr_vdcs.report import Run
from tests.cli.logs import a_round, an_evaluation, decision, three_rounds, write

NAN = math.nan


@pytest.fixture
def read(tmp_path):
    """Give a way to write reports and read them again."""
    return lambda reports: read_logs([write(tmp_path / "audit.jsonl", reports)])


def grid(ledger):
    """Lay out a grid."""
    return grid_of(ledger, histories_of(ledger, {}))


def cells_of(path: str) -> set[tuple[int, int]]:
    """List columns and rows of the cells that a path covers."""
    runs = re.findall(r"M(\d+) (\d+)h(\d+)v1h-(\d+)z", path)
    assert "".join("M{} {}h{}v1h-{}z".format(*run) for run in runs) == path
    return {
        (int(start) + step, int(row))
        for start, row, length, back in runs
        for step in range(int(length))
        if length == back
    }


def test_the_grid_by_hand(read):
    """Rows are b, c and a, as b was banned; columns are rounds 1 to 3."""
    made = grid(read(three_rounds()))
    assert [each.label for each in made.clients] == ["b", "c", "a"]
    assert made.rounds == [1, 2, 3]
    assert made.columns == [0, 1, 3]
    assert made.new_runs == []
    np.testing.assert_array_equal(made.verdicts, [[2, 2, 4], [3, 0, 0], [0, 0, 0]])
    expected = [[0.1, 0.2, NAN], [NAN, 0.7, 0.5], [0.9, 0.8, 0.6]]
    np.testing.assert_allclose(made.scores, expected, rtol=1e-6)
    assert not_drawn(made) == ""


def test_who_was_not_asked_leaves_a_gap(read):
    """Clients come and go; one seen in evaluations only has an empty row."""
    rounds = [
        a_round(1, [decision("a")]),
        an_evaluation(1, [decision("z", "quarantined")]),
        a_round(2, [decision("b")]),
    ]
    made = grid(read(rounds))
    np.testing.assert_array_equal(made.verdicts, [[0, -1], [-1, 0], [-1, -1]])


def test_of_several_decisions_in_a_round_the_severest_shows(read):
    """A client that answers twice is kept once and quarantined once."""
    rounds = [a_round(1, [decision("a", "quarantined"), decision("a")])]
    made = grid(read(rounds))
    assert made.verdicts.tolist() == [[3]]
    assert math.isnan(made.scores[0, 0])


def test_a_new_run_begins_at_its_column(read):
    """The third round is the first of the second run."""
    assert grid(read([a_round(n, [decision("a")]) for n in (1, 2, 1)])).new_runs == [2]


def test_of_many_clients_those_that_need_attention_are_drawn(read):
    """And of many rounds the last; how many are not is told."""
    ids = [str(n) for n in range(MAX_CLIENTS + 20)]
    rounds = [
        a_round(n, [decision(i, "dropped" if i == "77" else "kept") for i in ids])
        for n in range(1, 251)
    ]
    made = grid(read(rounds))
    assert made.clients[0].client_id == "77"
    assert made.verdicts.shape == (MAX_CLIENTS, 200)
    assert made.rounds[0] == 51
    assert not_drawn(made) == (
        "Only 100 clients are drawn, those that need attention first; 20 others not. "
        "Only the last 200 rounds are drawn; 50 earlier ones not."
    )


def test_of_clients_that_come_and_go_those_of_the_rounds_drawn_are_drawn(read):
    """An old client would have an empty row; refused ones still come first."""
    rounds = [
        a_round(n, [decision(f"{n}"), decision(f"bad {n}", "dropped")])
        for n in range(1, 301)
    ]
    made = grid(read(rounds))
    assert made.rounds[0] == 101
    assert made.clients[0].client_id == "bad 101"
    assert (made.verdicts >= 0).any(axis=1).all()


def test_verdicts_have_colours_and_letters(read):
    """Each cell has the colour of its verdict, and all but kept have a letter."""
    drawn = verdict_heatmap(grid(read(three_rounds())))
    found = {colour: cells_of(path) for colour, path in drawn.cells.items()}
    assert found[COLOURS["dropped"]] == {(0, 0), (1, 0)}
    assert found[COLOURS["banned"]] == {(2, 0)}
    assert found[COLOURS["quarantined"]] == {(0, 1)}
    assert len(found[COLOURS["kept"]]) == 5
    assert "".join(letter for _, _, letter in drawn.marks) == "DDBQ"
    assert drawn.marks[0][:2] == pytest.approx((1 / 6, 1 / 6))
    assert list(MARKS) == list(COLOURS) == list(VERDICTS)


def test_colours_differ_in_lightness():
    """Who sees no hues still sees five greys that are far apart."""

    def luminance(colour: str) -> float:
        channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        return float(channels**2.2 @ [0.2126, 0.7152, 0.0722])

    greys = sorted(luminance(colour) for colour in COLOURS.values())
    contrasts = [(light + 0.05) / (dark + 0.05) for dark, light in pairwise(greys)]
    assert min(contrasts) > 1.5


def test_large_grids_have_no_letters_and_low_rows(read):
    """100 clients in 20 rounds would not have room for letters."""
    ids = [str(client) for client in range(100)]
    rounds = [a_round(n, [decision(i, "dropped") for i in ids]) for n in range(1, 21)]
    drawn = verdict_heatmap(grid(read(rounds)))
    assert (drawn.marks, drawn.column_gaps) == ([], "")
    assert drawn.row_height == 15
    assert drawn.size == (20, 100)


def test_scores_far_out_do_not_squeeze_the_others(read):
    """One score of -1000 among a hundred takes the end colour."""
    scored = [decision(str(n), score=n / 100) for n in range(99)]
    rounds = [a_round(1, [*scored, decision("x", "dropped", -1000.0)])]
    drawn = score_heatmap(grid(read(rounds)))
    assert drawn.limits == pytest.approx((0.01, 0.97), abs=0.02)
    darkest, *others = [cells_of(path) for path in drawn.cells.values()]
    assert (0, 0) in darkest
    assert sum(map(len, others)) + len(darkest) == 100


def test_a_log_without_scores_can_be_drawn(read):
    """Everybody was quarantined."""
    ledger = read([a_round(1, [decision("a", "quarantined")])])
    drawn = score_heatmap(grid(ledger))
    assert (drawn.limits, drawn.cells) == ((0.0, 1.0), {})
    assert not any(histogram(ledger).paths.values())
    assert not any(over_rounds(ledger).paths.values())


def test_the_histogram_counts_every_score_once(read):
    """Five kept and two dropped in training; evaluations have no scores."""
    ledger = read(three_rounds())
    scores = scores_of(ledger)
    edges = np.linspace(*scores.limits, 9)
    assert counts_of(scores, "kept", edges).sum() == 5
    assert counts_of(scores, "dropped", edges).sum() == 2
    assert histogram(ledger).paths["dropped"].count("M") == 2


def test_equal_scores_can_be_drawn(read):
    """A range of no width is widened."""
    ledger = read([a_round(1, [decision("a"), decision("b")])])
    assert histogram(ledger).paths["kept"].count("M") == 1
    [cells] = score_heatmap(grid(ledger)).cells.values()
    assert cells_of(cells) == {(0, 0), (0, 1)}


def test_a_frame_by_hand():
    """The lowest values are at the left and the bottom, the highest opposite."""
    frame = Frame((0, 10), (-1, 1))
    assert frame.across([0, 5, 10]) == [LEFT, (LEFT + WIDTH - 10) / 2, WIDTH - 10]
    assert frame.up([-1, 1]) == [HEIGHT - BOTTOM, TOP]
    assert [text for _, text in frame.labels_up()] == ["-1", "-0.5", "0", "0.5", "1"]


def test_scores_over_the_rounds_by_hand(read):
    """The kept lie between two edges around their median; 0.2 is a cross below."""
    kept = [decision(c, score=s) for c, s in (("a", 0.8), ("b", 0.7), ("c", 0.6))]
    paths = over_rounds(
        read([a_round(n, [*kept, decision("d", "dropped", 0.2)]) for n in (1, 2)])
    ).paths

    def heights(path: str) -> list[float]:
        return [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", path)]

    top, _, bottom, _ = heights(paths["area"])
    assert heights(paths["median"])[0] == pytest.approx((top + bottom) / 2, abs=0.2)
    assert min(heights(paths["cross"])) > bottom
    assert paths["cross"].count("M") == 2
    assert paths["threshold"] == ""


def test_the_threshold_is_drawn_where_it_decided(read):
    """In the two of three rounds that M was left to it."""
    run = Run("ab", "auto", -1.0, None, 100, "", {})
    rounds = [
        replace(a_round(n, [decision("a")]), run=each)
        for n, each in ((1, run), (2, run), (1, replace(run, id="c", num_malicious=1)))
    ]
    ledger = read(rounds)
    width = (WIDTH - LEFT - 10) / 3
    [(start, end)] = re.findall(
        r"M([\d.]+) [\d.]+H([\d.]+)", over_rounds(ledger).paths["threshold"]
    )
    assert (float(start), float(end)) == pytest.approx(
        (LEFT, LEFT + 2 * width), abs=0.1
    )
    assert histogram(ledger).paths["threshold"].count("M") == 1
    assert scores_of(ledger).limits[0] == -1.0


def test_crosses_upon_each_other_are_drawn_once(read):
    """However many updates were dropped, the drawing stays small."""
    many = [decision(str(n), "dropped", 0.5 + n * 1e-9) for n in range(500)]
    rounds = [a_round(1, [*many, decision("x", "dropped", 0.1)])]
    assert over_rounds(read(rounds)).paths["cross"].count("M") < 100


def test_labels_are_round_numbers_evenly_spaced():
    """Neither too many nor none."""
    assert ticks(0, 1, 5) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert ticks(-2.3, 0.9, 6) == [-2, -1, 0]
    assert places(50, 6) == [0, 9, 18, 27, 36, 45]
    assert places(1, 6) == [0]
