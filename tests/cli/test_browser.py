"""The page in a real browser: drawn, searched, narrowed, and deaf to hostile text."""

import shutil

import pytest

pytest.importorskip("itables", reason="the report extra is not installed")
pytest.importorskip("jinja2", reason="the report extra is not installed")
pytest.importorskip("pandas", reason="the report extra is not installed")
pytest.importorskip("plotly", reason="the report extra is not installed")
pytest.importorskip("pydantic", reason="the report extra is not installed")
pytest.importorskip("playwright", reason="playwright is not installed")

from playwright.sync_api import Locator, Page, expect, sync_playwright
from typer.testing import CliRunner

from flwr_vdcs.cli import app
from tests.cli.logs import (
    HOSTILE,
    a_round,
    decision,
    hostile_rounds,
    three_rounds,
    write,
)

CHROMIUM = shutil.which("chromium")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

expect.set_options(timeout=30_000)

WIDE, NARROW = 1440, 390
CHARTS = ("verdicts", "scores", "histogram", "over-rounds")

ROWS = "#decisions tbody tr"
CLIENT, VERDICT, SCORE = 2, 3, 4


@pytest.fixture(scope="module")
def browser():
    """Start Chromium once; it needs no window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"]
        )
        yield browser
        browser.close()


class Opened:
    """A page, and whatever it did that it should not do."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        page.on("request", self._note_request)

    def cells(self, column: int) -> Locator:
        """Point at a column of the rows of decisions that are shown."""
        return self.page.locator(f"{ROWS} td:nth-child({column})")

    def expect_clients(self, *names: str) -> None:
        """Wait until the rows that are shown tell of these clients, in this order."""
        expect(self.cells(CLIENT)).to_have_text(list(names))

    def _note_request(self, request) -> None:
        if not request.url.startswith(("file:", "blob:", "data:")):
            self.complaints.append(request.url)


@pytest.fixture
def opened(browser, tmp_path):
    """Give a way to draw a log and open the page."""
    contexts = []

    def open_page(reports, width: int = WIDE) -> Opened:
        log = write(tmp_path / "audit.jsonl", reports)
        report = tmp_path / "report.html"
        assert (
            CliRunner().invoke(app, ["report", str(log), "-o", str(report)]).exit_code
            == 0
        )
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}))
        page = Opened(contexts[-1].new_page())
        page.page.goto(report.as_uri())
        page.page.wait_for_selector(f"{ROWS} td")
        for chart in CHARTS:
            page.page.wait_for_selector(f"#{chart} .main-svg", state="attached")
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_it_draws_everything_without_a_complaint(opened, width):
    """No message in the console, no request, nothing wider than the screen."""
    page = opened(three_rounds(), width)
    assert page.page.title() == "Audit report \u2013 flwr-vdcs"
    assert "look first at b (banned in 1)" in page.page.inner_text("h1")
    expect(page.cells(CLIENT)).to_have_count(11)
    root = "document.documentElement"
    assert page.page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth")
    assert page.complaints == []


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_it_holds_months_of_a_large_federation(opened, width):
    """Every row has its name beside it, everything is found, and nothing is cut off."""
    clients = [f"hospital {number}" for number in range(100)]
    rounds = [
        a_round(
            n,
            [
                decision(c, "dropped" if c == clients[n % 9] else "kept")
                for c in clients
            ],
        )
        for n in range(1, 201)
    ]
    page = opened(rounds, width)
    expect(page.page.locator("#verdicts .ytick")).to_have_count(100)
    page.page.select_option("#client", label="hospital 8")
    page.page.get_by_role("searchbox").fill("dropped")
    expect(page.page.locator(".dt-info")).to_contain_text("of 22 entries")
    root = "document.documentElement"
    assert page.page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth")
    assert page.complaints == []


def test_the_table_can_be_searched(opened):
    """Whatever stands in a row is found."""
    page = opened(three_rounds())
    page.page.get_by_role("searchbox").fill("found nan")
    page.expect_clients("c")
    expect(page.cells(VERDICT)).to_have_text(["quarantined"])


def test_the_table_can_be_sorted(opened):
    """By score from the lowest, those without a score before it."""
    page = opened(three_rounds())
    page.page.locator("#decisions thead th", has_text="score").click()
    none, sorted_scores = "\u2013", (0.1, 0.2, 0.5, 0.6, 0.7, 0.8, 0.9)
    expect(page.cells(SCORE)).to_have_text(
        [none] * 4 + [f"{score:.4f}" for score in sorted_scores]
    )


def test_a_client_can_be_selected_from_the_list(opened):
    """Its decisions are left, its row is marked; all clients come back."""
    page = opened(three_rounds())
    page.page.select_option("#client", label="c")
    page.expect_clients(*"cccc")
    expect(page.page.locator("tr.chosen th")).to_have_text(["c"])
    page.page.select_option("#client", label="all clients")
    expect(page.cells(CLIENT)).to_have_count(11)
    assert page.complaints == []


def test_a_client_can_be_selected_with_the_keyboard(opened):
    """Its name among the histories is a button."""
    page = opened(three_rounds())
    page.page.get_by_role("button", name="b", exact=True).focus()
    page.page.keyboard.press("Enter")
    page.expect_clients(*"bbb")
    assert page.page.input_value("#client") == "0"


def test_the_chosen_client_is_framed_beside_the_boundaries_of_runs(opened):
    """One line for the second run, one frame for the client, and none too many."""
    page = opened([a_round(n, [decision("a"), decision("b")]) for n in (1, 2, 1)])
    shapes = "#verdicts .shapelayer path"
    expect(page.page.locator(shapes)).to_have_count(1)
    for client in ("a", "b", "a"):
        page.page.select_option("#client", label=client)
        expect(page.page.locator(shapes)).to_have_count(2)
    page.page.select_option("#client", label="all clients")
    page.page.wait_for_selector("tr.chosen", state="detached")
    expect(page.page.locator(shapes)).to_have_count(1)
    assert page.complaints == []


def test_a_client_can_be_selected_in_the_heatmap(opened):
    """The third row is a's."""
    page = opened(three_rounds())
    hover_over(page, "verdicts", (1, 2))
    page.page.mouse.down()
    page.page.mouse.up()
    page.expect_clients(*"aaaa")
    assert page.complaints == []


def hover_over(page: Opened, chart: str, cell: tuple[int, int]) -> str:
    """Move to the middle of a cell, by column and row, and read the label.

    In one move: Plotly looks at a second one only after 50 ms, and a click that comes
    before is lost.
    """
    page.page.locator(f"#{chart}").scroll_into_view_if_needed()
    x, y = page.page.evaluate(
        """([name, [column, row]]) => {
            const chart = document.getElementById(name);
            const { left, top } = chart.getBoundingClientRect();
            const { xaxis, yaxis } = chart._fullLayout;
            return [
                left + xaxis._offset + xaxis.c2p(column),
                top + yaxis._offset + yaxis.c2p(row),
            ];
        }""",
        [chart, cell],
    )
    page.page.mouse.move(x, y)
    return page.page.wait_for_selector(f"#{chart} .hovertext").text_content()


def test_hovering_tells_client_round_verdict_score_and_reason(opened):
    """In both heatmaps alike."""
    page = opened(three_rounds())
    for chart in ("verdicts", "scores"):
        label = hover_over(page, chart, (0, 0))
        assert label == "b, round 1dropped, score 0.1among the 1 lowest of 2 scores"


def test_hostile_text_stays_text(opened):
    """It is shown as it was written, in the table and in labels, and never runs."""
    page = opened(hostile_rounds())
    plain = {" ".join(text.split()) for text in HOSTILE}
    shown = page.cells(CLIENT).all_inner_texts()
    assert {" ".join(text.split()) for text in shown} == plain
    place = (
        page.page.locator("table.histories button").all_inner_texts().index(HOSTILE[0])
    )
    assert hover_over(page, "verdicts", (0, place)).startswith(f"{HOSTILE[0]}, round 1")
    page.page.get_by_role("searchbox").fill("<img src=x")
    page.expect_clients(HOSTILE[2])
    assert page.page.evaluate("window.pwned") is None
    assert page.page.locator("main img, main a[href^=javascript]").count() == 0
    assert page.complaints == []


def test_the_second_lock_holds_where_the_first_would_fail(opened):
    """Even markup that got into the page could not run a script."""
    page = opened(three_rounds())
    page.page.evaluate(
        """() => {
            const place = document.querySelector("main");
            place.insertAdjacentHTML("beforeend", "<img src=x onerror='pwned = 1'>");
            const script = document.createRange().createContextualFragment(
                "<script>pwned = 2</" + "script>"
            );
            place.append(script);
        }"""
    )
    page.page.wait_for_timeout(200)
    assert page.page.evaluate("window.pwned") is None


def test_letters_give_way_where_cells_are_narrow(opened):
    """Forty rounds on a narrow screen leave no room for them."""
    rounds = [a_round(n, [decision("a", "dropped")]) for n in range(1, 41)]
    letters = "#verdicts .heatmap-label"
    expect(opened(rounds[:4]).page.locator(letters)).to_have_count(4)
    expect(opened(rounds, NARROW).page.locator(letters)).to_have_count(0)
