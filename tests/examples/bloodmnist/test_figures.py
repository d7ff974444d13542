"""Figures and tables: outcomes over seeds, the paper's numbers, missing results."""

import csv
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

APP = Path(__file__).resolve().parents[3] / "examples" / "bloodmnist"
sys.path.append(str(APP))

import draw_figures  # noqa: E402
from bloodmnist import figures, panel, reported, summary, tables  # noqa: E402
from bloodmnist.grid import Cell, GridError, read_grid  # noqa: E402
from bloodmnist.rows import Measured, Row, Table  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

ATTACKED = Cell(
    profile="laptop",
    algorithm="fedavg",
    attack="ump-paper",
    labels="clean",
    fraction=0.3,
    defense="vdcs",
    scoring="paper",
    num_malicious=3,
    alpha=10.0,
    seed=0,
)
HONEST = replace(ATTACKED, attack="none", fraction=0.0)


def make_rows(cell, accuracies, recall=None, num_rounds=None, settings="0"):
    """Make rows of a cell from its accuracies, the untrained model's first."""
    return [
        Row(
            settings=settings,
            cell=cell,
            num_rounds=num_rounds or len(accuracies) - 1,
            number=number,
            measured=Measured(
                accuracy=accuracy,
                loss=None,
                seconds=2.0,
                recall=recall if number else None,
                precision=None,
                false_drops=1 if number else None,
            ),
        )
        for number, accuracy in enumerate(accuracies)
    ]


# --- outcomes -------------------------------------------------------------------------


def test_outcome_by_hand():
    """Seeds end at 0.2 and 0.4 after 0.6 and 0.4: means 0.3 and 0.5, deviations."""
    rows = make_rows(ATTACKED, [0.9, 0.6, 0.2], recall=1)
    rows += make_rows(replace(ATTACKED, seed=1), [0.9, 0.3, 0.4], recall=0.5)
    ((setup, outcome),) = summary.summarise(rows).items()

    assert setup == ATTACKED
    assert outcome.num_seeds == 2
    assert (outcome.last.mean, outcome.maximum.mean) == pytest.approx((0.3, 0.5))
    assert outcome.last.deviation == pytest.approx(0.02**0.5)
    assert outcome.recall == pytest.approx(0.75)
    assert (outcome.precision, outcome.false_drops, outcome.seconds) == (None, 1, 2)


def test_one_seed_has_no_spread():
    """A single number deviates from nothing."""
    assert summary.Spread((0.5,)).deviation == 0


def test_a_mean_is_never_outside_of_its_range():
    """0.1 + 0.1 + 0.1 is 0.30000000000000004, a third of which is more than 0.1."""
    assert summary.Spread((0.1, 0.1, 0.1)).mean == 0.1


def test_untrained_model_and_row_order_do_not_count():
    """Round 0 is never the maximum, and the last round is last in any order."""
    rows = make_rows(ATTACKED, [0.9, 0.1, 0.3, 0.2])
    (outcome,) = summary.summarise(reversed(rows)).values()
    assert (outcome.last.mean, outcome.maximum.mean) == (0.2, 0.3)


def test_unfinished_cells_have_no_outcome():
    """One that is still running is neither a last round nor a maximum."""
    rows = make_rows(ATTACKED, [0.1, 0.5], num_rounds=2)
    assert summary.summarise(rows) == {}


# --- the paper's numbers --------------------------------------------------------------


@pytest.mark.parametrize(
    ("attack", "defense", "fraction", "expected"),
    [
        ("tmp-authors", "none", 0.1, ["80.06"]),
        ("tmp-paper", "none", 0.3, ["19.47", "20"]),
        ("tmp-paper", "vdcs", 0.3, ["89.68", "85-90"]),
        ("ump-paper", "none", 0.1, ["17-19"]),
        ("ump-paper", "vdcs", 0.3, ["65-70"]),
        ("ump-paper", "krum", 0.3, []),
        ("sign-flip", "vdcs", 0.3, []),
        ("tmp-authors", "vdcs", 0.2, []),
    ],
)
def test_paper_is_quoted_where_it_says_something(attack, defense, fraction, expected):
    """FedAvg's exact numbers and ranges stand beside the cells they are about."""
    found = reported.find_reported(
        algorithm="fedavg",
        attack=attack,
        defense=defense,
        fraction=fraction,
        alpha=10.0,
    )
    assert [text for text in dict.fromkeys(map(str, found)) if text in expected] == (
        expected
    )
    assert bool(found) == bool(expected)


def test_reported_accuracies_are_ranges_in_per_cent():
    """No number of the paper is out of order or a share."""
    assert all(0 <= each.low <= each.high <= 100 for each in reported.REPORTED)
    assert all(each.high >= 17 for each in reported.REPORTED)


# --- tables ---------------------------------------------------------------------------


@pytest.fixture
def lines():
    """Two of three planned seeds of one setup, none of another, one not planned."""
    rows = make_rows(ATTACKED, [0.1, 0.7, 0.2], recall=0.5)
    rows += make_rows(replace(ATTACKED, seed=1), [0.1, 0.6, 0.4], recall=0.5)
    rows += make_rows(HONEST, [0.1, 0.7, 0.7])
    planned = [replace(ATTACKED, seed=seed) for seed in range(3)]
    planned.append(replace(ATTACKED, attack="tmp-paper", labels="flipped"))
    return tables.list_lines(summary.summarise(rows), planned)


def test_markdown_shows_what_is_missing(lines, tmp_path):
    """Planned setups come first, with the seeds they lack; no line is left out."""
    tables.write_markdown(tmp_path / "t.md", lines)
    header, rule, *body = (tmp_path / "t.md").read_text().splitlines()
    assert header.count("|") == rule.count("|") == body[0].count("|")
    start = (
        "| fedavg | ump-paper, clean labels | 0.3 | vdcs paper, M = 3 | 10 | 2 of 3 "
    )
    assert body[0].startswith(
        start + "| 30.0 (20.0 to 40.0) | 65.0 (60.0 to 70.0) | 65 to 70 | 50 |"
    )
    assert "tmp-paper, flipped labels" in body[1]
    assert "| 0 of 1 | missing | missing | 89.68 and 85 to 90 |" in body[1]
    assert "| none | 0 | vdcs paper, M = 3 | 10 | 1 | 70.0 | 70.0 |" in body[2]
    assert len(body) == 3


def test_csv_has_the_same_lines_with_the_spread(lines, tmp_path):
    """A missing setup has its columns empty; the others have means and deviations."""
    tables.write_csv(tmp_path / "t.csv", lines)
    with (tmp_path / "t.csv").open(newline="") as file:
        found, missing, honest = csv.DictReader(file)
    assert (found["seeds"], found["seeds_planned"]) == ("2", "3")
    assert (found["last_mean"], found["last_min"], found["last_max"]) == (
        *("0.3", "0.2", "0.4"),
    )
    assert float(found["last_std"]) == pytest.approx(0.02**0.5, abs=1e-6)
    assert (missing["labels"], missing["seeds"]) == ("flipped", "0")
    assert missing["last_mean"] == missing["recall"] == ""
    assert missing["paper_maximum"] == "89.68 and 85-90"
    assert (honest["seeds_planned"], honest["recall"]) == ("0", "")


# --- pictures -------------------------------------------------------------------------


def draw_panel(outcomes, *, attack=figures.UMP, number=4):
    """Draw FedAvg with and without plugin, and return the axes."""
    axes = Figure().subplots()
    series = figures.list_ways(outcomes, "fedavg")
    panel.Panel(outcomes, attack, series, figures.BY_FRACTION, number).draw(axes)
    return axes


def find_points(axes, marker):
    """Return the finite points of all lines with that marker, as (x, y)."""
    return [
        (float(x), float(y))
        for line in axes.get_lines()
        if line.get_marker() == marker
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
        if math.isfinite(y)
    ]


def test_panel_shows_last_round_and_maximum_at_their_place():
    """The plugin's line has p = 0 and p = 0.3, each with two accuracies in per cent."""
    rows = make_rows(ATTACKED, [0.1, 0.7, 0.2]) + make_rows(HONEST, [0.1, 0.8, 0.8])
    points = find_points(draw_panel(summary.summarise(rows)), "o")
    assert [(round(x), y) for x, y in sorted(points)] == [
        (0, pytest.approx(80)),
        (0, pytest.approx(80)),
        (3, pytest.approx(20)),
        (3, pytest.approx(70)),
    ]


def test_panel_marks_every_missing_result():
    """Without any result, both series have a cross at each of the four fractions."""
    crosses = find_points(draw_panel({}), "x")
    assert [round(x) for x, _ in sorted(crosses)] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert {y for _, y in crosses} == {panel.CROSS_HEIGHT}


def test_panel_shows_the_papers_numbers_of_its_figure():
    """Stars at 80.06, 19.47 and 89.68 for FedAvg under TMP, and no range of Fig. 5."""
    stars = find_points(draw_panel({}, attack=figures.TMP), "*")
    assert [(round(x), y) for x, y in sorted(stars)] == [
        *((1, 80.06), (3, 19.47), (3, 89.68)),
    ]
    assert find_points(draw_panel({}, attack=figures.TMP, number=6), "*") == []


def test_hardened_scoring_is_drawn_once_there_is_any():
    """Two ways without it, three with it."""
    hardened = summary.summarise(
        make_rows(replace(ATTACKED, scoring="hardened"), [0.1, 0.7])
    )
    assert len(figures.list_ways({}, "fedavg")) == 2
    assert len(figures.list_ways(hardened, "fedavg")) == 3


def test_series_of_a_picture_differ_in_more_than_color():
    """Nine methods: nine colors and nine markers."""
    series = [*figures.UNDEFENDED, *figures.BASELINES]
    assert len({each.color for each in series}) == len(series)
    assert len({each.marker for each in series}) == len(series)


# --- the command ----------------------------------------------------------------------


@pytest.fixture
def results(tmp_path):
    """Write a results file with a few cells of the laptop grid."""
    grid = read_grid(APP / "grids" / "laptop.toml")
    table = Table(tmp_path / "results.csv", grid)
    for cell in grid.cells[:8]:
        accuracies = [0.1 * min(number, 7) for number in range(grid.num_rounds + 1)]
        for row in make_rows(cell, accuracies, settings=grid.settings):
            table.append(row)
    return table.path


def test_command_draws_all_pictures_and_tables(results, tmp_path):
    """Six pictures and two tables, in which the whole grid has its place."""
    docs = tmp_path / "docs"
    command = [sys.executable, str(APP / "draw_figures.py"), str(results)]
    drawn = subprocess.run(
        [*command, "--output", str(docs)], capture_output=True, text=True, check=False
    )
    assert drawn.returncode == 0, drawn.stdout + drawn.stderr
    planned = len(read_grid(APP / "grids" / "laptop.toml").cells)
    assert f"8 finished cells, {planned} planned" in drawn.stdout
    pictures = list(docs.glob("*.png"))
    assert {path.stem for path in pictures} == {
        *("figure-3", "figure-4", "figure-5"),
        *("figure-3-tmp", "figure-4-fedavg", "figure-5-fedavg"),
    }
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)
    grid = read_grid(APP / "grids" / "laptop.toml")
    setups = {summary.find_setup(cell) for cell in grid.cells}
    assert len((docs / "summary.csv").read_text().splitlines()) == 1 + len(setups)
    assert (docs / "summary.md").read_text().count("missing | missing") == (
        len(setups) - 8
    )


def test_profile_must_be_named_where_there_are_several():
    """One profile is chosen by itself; of two, the wrong or no name is an error."""
    one = make_rows(ATTACKED, [0.1, 0.2])
    two = one + make_rows(replace(ATTACKED, profile="paper"), [0.1, 0.2])
    assert draw_figures.choose_profile(one, "") == "laptop"
    assert draw_figures.choose_profile(two, "paper") == "paper"
    for rows, name in ((two, ""), (two, "foo"), ([], "")):
        with pytest.raises(GridError, match=r"choose one with --profile|no results"):
            draw_figures.choose_profile(rows, name)
