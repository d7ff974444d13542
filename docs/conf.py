"""Sphinx configuration: ``sphinx-build -W -n -b html docs docs/_build/html``."""

import inspect
from typing import Any

from sphinx.application import Sphinx

import flwr_vdcs

project = "flwr-vdcs"
author = "the flwr-vdcs contributors"
project_copyright = author
version = release = flwr_vdcs.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx-mathjax-offline",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]
default_role = "code"

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings name types and shapes in words
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_param = False  # types stay as they are written: "tuple of int"
napoleon_use_rtype = False

nitpick_ignore = [
    ("py:class", name) for name in ("Path", "Probe", "Tensor")
]  # not linked

copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True

html_theme = "furo"
html_title = f"flwr-vdcs {release}"
html_show_sphinx = False
html_static_path = ["_static"]
html_css_files = ["formulas.css"]


def show_constructor(
    _app: Sphinx, what: str, _name: str, obj: Any, *_: Any
) -> tuple[str, None] | None:
    """Show the arguments of ``__init__``, where ``__new__`` takes any of them."""
    if what != "class" or not issubclass(obj, flwr_vdcs.VirtualConsistencyStrategy):
        return None
    _self, *parameters = inspect.signature(obj.__init__).parameters.values()
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in parameters]
    return str(inspect.Signature(bare)), None


def setup(app: Sphinx) -> None:
    """Connect what this file adds to Sphinx."""
    app.connect("autodoc-process-signature", show_constructor)
