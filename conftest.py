"""Run the Python code blocks of the README and of the documentation as tests."""

from contextlib import ExitStack, chdir
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from sybil import Sybil
from sybil.integration.pytest import SybilItem
from sybil.parsers.myst import PythonCodeBlockParser, SkipParser

IN_A_FOLDER = "_in_a_folder"


def enter_empty_folder(namespace: dict[str, Any]) -> None:
    """Let a page write its files where they are thrown away."""
    stack = namespace[IN_A_FOLDER] = ExitStack()
    stack.enter_context(chdir(stack.enter_context(TemporaryDirectory())))


def leave_folder(namespace: dict[str, Any]) -> None:
    """Go back, and remove what the page wrote."""
    namespace[IN_A_FOLDER].close()


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()],
    patterns=["README.md", "docs/*.md"],
    setup=enter_empty_folder,
    teardown=leave_folder,
).pytest()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, and end with the pages, each block in its order.

    Whatever shuffles the tests.
    """
    items.sort(key=_place)


def _place(item: pytest.Item) -> tuple[int, str, int]:
    if isinstance(item, SybilItem):
        return 2, str(item.path), item.example.line
    return (0 if _starts_processes(item) else 1), "", 0


def _starts_processes(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(name) for name in ("simulation", "slow"))
