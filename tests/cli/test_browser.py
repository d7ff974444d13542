"""The page in a real browser: drawn, searched, narrowed, and deaf to hostile text."""

import csv
import shutil
from pathlib import Path

import pytest

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
    expect(page.page.locator("#verdicts .labels li")).to_have_count(100)
    page.page.select_option("#client", label="hospital 8")
    page.page.locator("#search").fill("dropped")
    expect(page.page.locator("#found")).to_have_text("22 of 4200 decisions")
    root = "document.documentElement"
    assert page.page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth")
    assert page.complaints == []


def test_the_table_can_be_searched(opened):
    """Whatever stands in a row is found."""
    page = opened(three_rounds())
    page.page.locator("#search").fill("found nan")
    page.expect_clients("c")
    expect(page.cells(VERDICT)).to_have_text(["quarantined"])


def test_the_table_can_be_sorted(opened):
    """By score from the lowest, those without a score before it."""
    page = opened(three_rounds())
    page.page.get_by_role("button", name="score", exact=True).click()
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
    assert page.page.locator("#client option:checked").inner_text() == "b"


def test_the_chosen_client_is_framed_beside_the_boundaries_of_runs(opened):
    """One line for the second run, one frame for the client, and none too many."""
    page = opened([a_round(n, [decision("a"), decision("b")]) for n in (1, 2, 1)])
    expect(page.page.locator("#verdicts .boundary")).to_have_count(1)
    frame = page.page.locator("#verdicts .frame.row")
    tops = []
    for client in ("a", "b", "a"):
        page.page.select_option("#client", label=client)
        expect(frame).to_be_visible()
        tops.append(frame.bounding_box()["y"])
    assert tops[0] == tops[2] < tops[1]
    page.page.get_by_role("button", name="Clear filters").click()
    expect(frame).to_be_hidden()
    assert page.complaints == []


def test_a_client_can_be_selected_in_the_heatmap(opened):
    """The third row is a's, the second column round 2."""
    page = opened(three_rounds())
    hover_over(page, "verdicts", (1, 2), of=(3, 3))
    page.page.mouse.down()
    page.page.mouse.up()
    page.expect_clients(*"aaaa")
    assert page.complaints == []


def hover_over(page: Opened, chart: str, cell: tuple[int, int], of) -> list[str]:
    """Move to the middle of a cell, by column and row, and read the label."""
    plot = page.page.locator(f"#{chart} .plot")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    page.page.mouse.move(
        box["x"] + box["width"] * (cell[0] + 0.5) / of[0],
        box["y"] + box["height"] * (cell[1] + 0.5) / of[1],
    )
    return page.page.locator("#hint p").all_inner_texts()


B_IN_ROUND_1 = ["b, round 1", "dropped, score 0.1", "among the 1 lowest of 2 scores"]


def test_hovering_tells_client_round_verdict_score_and_reason(opened):
    """In both heatmaps alike."""
    page = opened(three_rounds())
    for chart in ("verdicts", "scores"):
        assert hover_over(page, chart, (0, 0), of=(3, 3)) == B_IN_ROUND_1


def test_cells_can_be_read_with_the_arrow_keys(opened):
    """From the first one on, not beyond the edges, and chosen with Enter."""
    page = opened(three_rounds())
    hint = page.page.locator("#hint p")
    page.page.locator("#client").focus()
    page.page.locator("#scores .plot").focus()
    page.page.keyboard.press("ArrowUp")
    expect(hint).to_have_text(B_IN_ROUND_1)
    page.page.keyboard.press("ArrowRight")
    page.page.keyboard.press("ArrowDown")
    expect(hint).to_have_text(["c, round 2", "kept, score 0.7"])
    page.page.keyboard.press("Enter")
    page.expect_clients(*"cccc")
    page.page.keyboard.press("Escape")
    expect(hint.first).to_be_hidden()


def test_the_table_is_filtered_by_column_verdict_round_and_day(opened):
    """And all rows come back."""
    page = opened(three_rounds())
    page.page.select_option("#verdict", label="quarantined")
    page.expect_clients("c", "c")
    page.page.select_option("#verdict", "refused")
    page.page.fill("#from-round", "2")
    page.page.fill("#to-round", "2")
    page.expect_clients("b", "c")
    page.page.get_by_label("search phase").fill("eval")
    page.expect_clients("c")
    page.page.fill("#to-day", "2020-01-01")
    expect(page.page.locator("#found")).to_have_text("0 of 11 decisions")
    page.page.get_by_role("button", name="Clear filters").click()
    expect(page.page.locator("#found")).to_have_text("11 decisions")
    assert page.complaints == []


def test_the_table_is_saved_as_csv(opened):
    """Quoted, whole, and with no formula in what clients wrote."""
    first = decision("=cmd", "dropped", -0.5, 'says "no", twice')
    page = opened([a_round(1, [first, decision("b")])])
    with page.page.expect_download() as download:
        page.page.click("#save")
    with Path(download.value.path()).open(newline="", encoding="utf-8-sig") as file:
        rows = [*csv.DictReader(file)]
    assert [row["client id"] for row in rows] == ["'=cmd", "b"]
    assert [row["score"] for row in rows] == ["-0.5", "0.9"]
    assert rows[0]["reason"] == 'says "no", twice'


REASON = "why " * 40


def test_it_prints_whole(opened):
    """All rows, clients and reasons; neither filters nor anything to scroll."""
    clients = [
        decision(f"hospital {n}", "dropped", 0.1, "why " * 40) for n in range(40)
    ]
    page = opened([a_round(n, clients) for n in (1, 2)])
    expect(page.cells(CLIENT)).to_have_count(25)
    page.page.emulate_media(media="print")
    expect(page.cells(CLIENT)).to_have_count(80)
    expect(page.page.locator(".filters")).to_be_hidden()
    is_whole = "e => e.scrollHeight <= e.clientHeight + 1"
    for region in page.page.locator(".scroll").all():
        assert region.evaluate(is_whole)
    page.page.emulate_media(media="screen")
    expect(page.cells(CLIENT)).to_have_count(25)
    assert len(page.page.pdf()) > 10_000
    assert page.complaints == []


def test_hostile_text_stays_text(opened):
    """It is shown as it was written, in the table and in labels, and never runs."""
    page = opened(hostile_rounds())
    plain = {" ".join(text.split()) for text in HOSTILE}
    shown = page.cells(CLIENT).all_inner_texts()
    assert {" ".join(text.split()) for text in shown} == plain
    place = (
        page.page.locator("table.histories button").all_inner_texts().index(HOSTILE[0])
    )
    label, *_ = hover_over(page, "verdicts", (0, place), of=(1, len(HOSTILE)))
    assert label == f"{HOSTILE[0]}, round 1"
    page.page.locator("#search").fill("<img src=x")
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
    letter = "#verdicts i >> nth=0"
    expect(opened(rounds).page.locator(letter)).to_be_visible()
    expect(opened(rounds, NARROW).page.locator(letter)).to_be_hidden()
