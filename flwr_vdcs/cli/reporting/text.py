"""Values to text: how the page writes clients, scores and reasons."""

from html import escape
from math import isnan
from textwrap import wrap

MAX_LABEL = 16
LINE_WIDTH = 60


def shortened(client: str) -> str:
    """Shorten a long id in its middle."""
    if len(client) <= MAX_LABEL:
        return client
    half = MAX_LABEL // 2 - 1
    return f"{client[:half]}…{client[-half:]}"


def written(score: float) -> str:
    """Write a score, or that there is none."""
    return "no score" if isnan(score) else f"score {score:.4g}"


def wrapped(text: str) -> str:
    """Break text into lines, safe as markup."""
    return "\n".join(safe(line) for line in wrap(text, LINE_WIDTH))


def safe(text: str) -> str:
    """Keep text from being markup, in HTML and in labels of charts."""
    return escape(text, quote=False)
