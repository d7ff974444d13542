"""The documentation: it builds without a warning, and every page can be found.

The code blocks of its pages run as tests too: see ``conftest.py`` at the top.
"""

import builtins
import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import flwr_vdcs
from flwr_vdcs import errors

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(page.stem for page in DOCS.glob("*.md"))
BUILDERS = ("sphinx", "furo", "myst_parser", "sphinx_copybutton")
MISSING = [name for name in BUILDERS if find_spec(name) is None]


@pytest.mark.skipif(bool(MISSING), reason=f"the docs extra is not installed: {MISSING}")
def test_it_builds_without_a_warning(tmp_path):
    """A warning is a broken link, an unknown name or a page nobody can reach."""
    options = ["-W", "--keep-going", "-n", "-q", "-b", "html", "-d", tmp_path / "cache"]
    command = [sys.executable, "-m", "sphinx", *options, DOCS, tmp_path / "html"]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    html = (tmp_path / "html" / "api.html").read_text()
    assert "num_virtual_samples" in html.split("<dd>", 1)[0], "no constructor arguments"


def test_every_page_is_in_the_table_of_contents():
    """The index lists each page once, and no page that is not there."""
    index = (DOCS / "index.md").read_text()
    [toctree] = re.findall(r"```\{toctree\}\n(?::.*\n)*\n(.*?)\n```", index, re.DOTALL)
    assert sorted(toctree.split()) == [page for page in PAGES if page != "index"]


def test_every_public_name_has_an_entry():
    """The API page documents what the package exports."""
    text = (DOCS / "api.md").read_text()
    entries = re.findall(r"^\.\. auto(?:class|function):: (\w+)$", text, re.MULTILINE)
    assert sorted(entries) == sorted(flwr_vdcs.__all__)
    assert ".. automodule:: flwr_vdcs.errors" in text


@pytest.mark.parametrize("page", PAGES)
def test_errors_and_links_exist(page):
    """A page names only errors that there are, and links only to pages that exist."""
    text = (DOCS / f"{page}.md").read_text()
    names = set(re.findall(r"\b[A-Z]\w+Error\b", text))
    known = {*dir(errors), *dir(builtins), *dir(json)}
    assert names <= known
    for target in re.findall(r"\]\(([\w-]+\.md)", text):
        assert (DOCS / target).is_file(), target
