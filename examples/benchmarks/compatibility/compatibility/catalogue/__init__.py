"""All entries, a file for each kind of model."""

from __future__ import annotations

from compatibility.catalogue import (
    apps,
    graphs,
    images,
    language,
    medical,
    parts,
    small,
    wrappers,
)
from compatibility.entry import Entry


def catalogue() -> dict[str, Entry]:
    """List all entries by name."""
    modules = (images, medical, language, graphs, small, parts, wrappers, apps)
    return {each.name: each for module in modules for each in module.entries()}
