"""The table of log lines in the deployment guide has all that the package logs."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import flwr.serverapp.strategy as message
import pytest

import flwr_vdcs
from flwr_vdcs.flower.compatibility import caution
from flwr_vdcs.strategy import BANS_BY_RANK

PACKAGE = Path(flwr_vdcs.__file__).parent
GUIDE = PACKAGE.parent / "docs" / "deployment.md"

pytestmark = pytest.mark.skipif(not GUIDE.exists(), reason="the guide is not here")


def logged() -> Iterator[tuple[str, str]]:
    """Give the level and the text of every line that is logged."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="logger"), attr=level),
                    args=[ast.Constant(value=str(text)), *_],
                ) if text.strip() != "%s":
                    yield level, text.strip("\t ├─>")
    private = message.DifferentialPrivacyServerSideFixedClipping(
        message.FedAvg(), noise_multiplier=1, clipping_norm=1, num_sampled_clients=2
    )
    yield "warning", caution(private)
    yield "warning", BANS_BY_RANK


def told() -> list[tuple[re.Pattern[str], str]]:
    """Read the table; an ellipsis stands for anything, and so does a number."""
    row = re.compile(r"^\| `(.+?)` \| (info|warning|error) \|", re.MULTILINE)
    variable = re.compile(r"\s*(?:…|[\d.]+\d|\d)\s*")
    return [
        (re.compile(".*".join(map(re.escape, variable.split(line)))), level)
        for line, level in row.findall(GUIDE.read_text())
    ]


def filled(text: str) -> str:
    """Put something in the place of what is formatted."""
    return re.sub(r"%\.?\d*[a-z]", "3", text)


def test_every_line_is_explained():
    """With its level; and every line that is explained is logged."""
    lines, table = [*logged()], told()
    matching = [
        [row for row in table if row[1] == level and row[0].match(filled(text))]
        for level, text in lines
    ]
    unexplained = [
        text for (_, text), rows in zip(lines, matching, strict=True) if not rows
    ]
    assert unexplained == []
    assert {row for rows in matching for row in rows} == {*table}
