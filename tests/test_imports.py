"""The layout: stages know only the stages before them, and only the edges know Flower.

Imports are followed from file to file, so nothing is known by way of another module.
"""

import ast
import subprocess
import sys
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

import flwr_vdcs

PACKAGE = Path(flwr_vdcs.__file__).parent

LAYERS = [
    "_version",
    "errors",
    "executors",
    "report",
    "verification",
    "admission",
    "probe",
    "scoring",
    "decision",
    "history",
    "records",
    "_arguments",
    "round",
    "sinks",
    "flower",
    "strategy",
    "cli",
    "__main__",
]
"""From the bottom to the top: what stands further up may import what is below it."""

KNOW_FLOWER = {"flower", "strategy"}
KNOW_THE_ROOT = {"cli"}
"""The command line says which version of the package it is."""

MAX_FILES = 10
"""In one folder."""

MODULES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(
        ".__init__"
    )
    for path in PACKAGE.rglob("*.py")
)

layers = pytest.mark.parametrize("layer", LAYERS)


def path_of(module: str) -> Path | None:
    """Find the file of a module of this package, or None."""
    place = PACKAGE.parent.joinpath(*module.split("."))
    found = [place.with_suffix(".py"), place / "__init__.py"]
    return next((path for path in found if path.is_file()), None)


@cache
def imported_by(module: str) -> frozenset[str]:
    """List what a file imports, wherever the import stands."""
    names = set()
    for node in ast.walk(ast.parse(path_of(module).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names.add(node.module)
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name for name in inner if path_of(name)}
    return frozenset(names)


def known_to(module: str) -> set[str]:
    """Follow the imports of a file through all files of this package."""
    known, ahead = set(), [module]
    while ahead:
        for name in imported_by(ahead.pop()) - known:
            known.add(name)
            if path_of(name) and name != "flwr_vdcs":
                ahead.append(name)
    return known


def layer_of(module: str) -> str:
    """Name the folder or file at the top that a module belongs to."""
    return module.split(".")[1] if "." in module else ""


def modules_of(layer: str) -> list[str]:
    """List the modules of a layer."""
    return [module for module in MODULES if layer_of(module) == layer]


def test_every_file_has_its_layer():
    """A new folder must be put in order."""
    assert {layer_of(module) for module in MODULES} == {"", *LAYERS}


@layers
def test_imports_point_one_way(layer):
    """A layer knows only those below it, itself included, by whatever way."""
    allowed = {*LAYERS[: LAYERS.index(layer) + 1]}
    allowed |= {""} if layer in KNOW_THE_ROOT else set()
    for module in modules_of(layer):
        own = {name for name in known_to(module) if name.split(".")[0] == "flwr_vdcs"}
        assert {layer_of(name) for name in own} <= allowed, module


@layers
def test_only_the_edges_know_flower(layer):
    """Admission, scoring and decisions work on tensors and plain values."""
    knows = any(
        name.split(".")[0] == "flwr"
        for module in modules_of(layer)
        for name in known_to(module)
    )
    assert knows is (layer in KNOW_FLOWER)


@pytest.mark.parametrize("module", MODULES)
def test_there_is_no_cycle(module):
    """No file knows itself by way of others."""
    assert module == "flwr_vdcs" or module not in known_to(module)


@pytest.mark.parametrize("module", MODULES)
def test_folders_are_imported_by_their_interface(module):
    """From outside, a stage is what its ``__init__`` exports."""
    for name in imported_by(module):
        is_inner = name.count(".") > 1 and name.startswith("flwr_vdcs.")
        assert not is_inner or layer_of(name) == layer_of(module), name


def test_private_modules_stay_in_their_folder():
    """What starts with an underscore is imported by its neighbours only."""
    for module in MODULES:
        for name in imported_by(module):
            folder, _, own = name.rpartition(".")
            if own.startswith("_") and name.startswith("flwr_vdcs."):
                assert f"{module}.".startswith(f"{folder}."), (module, name)


@layers
def test_a_folder_says_what_is_in_it_for_others(layer):
    """Its ``__all__`` names all that it imports for that, in order."""
    folder = PACKAGE / layer
    if not folder.is_dir() or layer == "cli":
        return
    tree = ast.parse((folder / "__init__.py").read_text())
    imported = [
        alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    interface = __import__(f"flwr_vdcs.{layer}", fromlist=["__all__"])
    assert sorted(interface.__all__) == sorted(imported)


@pytest.mark.parametrize(
    "folder", [PACKAGE, *(path for path in PACKAGE.rglob("*") if path.is_dir())]
)
def test_no_folder_is_crowded(folder):
    """Whoever looks for a stage finds it at a glance."""
    files = [path for path in folder.iterdir() if path.is_file()]
    assert len(files) <= MAX_FILES, folder


def test_the_exports_exist_and_are_documented():
    """All public names are there, with a docstring."""
    for name in flwr_vdcs.__all__:
        assert getattr(flwr_vdcs, name).__doc__
    assert {*flwr_vdcs.__all__, "errors"} <= {*dir(flwr_vdcs)}
    assert flwr_vdcs.errors.VirtualConsistencyError.__doc__


def test_what_type_checkers_see_is_what_is_given():
    """The names that are imported for them come from the same folders, all of them."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {
        alias.name: getattr(import_module(node.module), alias.name)
        for node in block.body
        for alias in node.names
    }
    assert {*seen} == {*flwr_vdcs.__all__}
    for name, found in seen.items():
        assert getattr(flwr_vdcs, name) is found


def test_a_name_that_is_not_there_is_an_attribute_error():
    """With the usual words, as ``hasattr`` and star imports depend on it."""
    with pytest.raises(AttributeError, match="'flwr_vdcs' has no attribute 'nothing'"):
        _ = flwr_vdcs.nothing


def test_the_package_is_imported_without_what_takes_seconds():
    """PyTorch and Flower come with the first name that needs them."""
    lines = (
        "import sys, flwr_vdcs",
        "assert not {'torch', 'flwr'} & {*sys.modules}",
        "from flwr_vdcs import Decision",
        "assert not {'torch', 'flwr'} & {*sys.modules}",
        "from flwr_vdcs import *",
        "assert VirtualConsistencyStrategy.__module__ == 'flwr_vdcs.strategy'",
        "assert {'torch', 'flwr'} <= {*sys.modules}",
    )
    command = [sys.executable, "-c", "\n".join(lines)]
    subprocess.run(command, check=True, cwd=PACKAGE.parent)
