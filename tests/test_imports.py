"""The layout: imports point one way, and only the edges know Flower."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "flwr_vdcs"

ORDER = [
    "errors",
    "memory",
    "device",
    "arrays",
    "reference",
    "momentum",
    "updates",
    "admission",
    "virtual",
    "features",
    "scores",
    "judgement",
    "hardened.suspicion",
    "hardened.evidence",
    "hardened.sizes",
    "hardened.consensus",
    "hardened.agreement",
    "hardened.scoring",
    "hardened.__init__",
    "scoring",
    "traits",
    "track_records",
    "seen",
    "scored",
    "report",
    "selection",
    "bounds",
    "replays",
    "reputation",
    "guard",
    "audit",
    "verification",
    "state",
    "journal",
    "sinks",
    "arguments",
    "wrapped",
    "message",
    "legacy",
    "strategy",
    "__init__",
]
KNOW_FLOWER = {"updates", "wrapped", "message", "legacy", "strategy"}

stages = pytest.mark.parametrize("stage", ORDER)


def imported_modules(stage: str) -> set[str]:
    """List what a file imports, wherever the import stands."""
    tree = ast.parse((PACKAGE / f"{stage.replace('.', '/')}.py").read_text())
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names.add(node.module)
    return names


def test_every_file_has_its_place():
    """A new file must be put in order."""
    paths = [*PACKAGE.glob("*.py"), *PACKAGE.glob("hardened/*.py")]
    found = {".".join(p.relative_to(PACKAGE).with_suffix("").parts) for p in paths}
    assert found == set(ORDER)


@stages
def test_imports_point_one_way(stage):
    """A file imports only files before it in the order."""
    own = {
        name.removeprefix("flwr_vdcs.")
        for name in imported_modules(stage)
        if name.startswith("flwr_vdcs.")
    }
    before = ORDER[: ORDER.index(stage)]
    packages = [name.removesuffix(".__init__") for name in before]
    assert own <= {*before, *packages}


@stages
def test_only_the_edges_know_flower(stage):
    """Scoring and selection work on tensors and plain values."""
    knows = any(name.split(".")[0] == "flwr" for name in imported_modules(stage))
    assert knows is (stage in KNOW_FLOWER)


def test_the_exports_exist_and_are_documented():
    """All public names are there, with a docstring."""
    import flwr_vdcs

    for name in flwr_vdcs.__all__:
        assert getattr(flwr_vdcs, name).__doc__
