"""How Sphinx builds the documentation: `python -m sphinx -W -b html docs docs/_build/html`."""

from __future__ import annotations

import os
import re
import sys
import warnings
from pathlib import Path

import noisyfit

sys.path.insert(0, str(Path(__file__).parent))  # gallery_order.py
os.environ.setdefault("OMP_NUM_THREADS", "1")
warnings.filterwarnings("ignore", message="FigureCanvasAgg is non-interactive")

project = "noisyfit"
author = copyright = "The noisyfit developers"
release = version = noisyfit.__version__

templates_path = ["_templates"]
extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "README.md"]
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"sklearn\..*")]  # no other project's pages are loaded
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
suppress_warnings = ["config.cache"]  # the gallery's order is a function

# The reference: a page for each object, its attributes and methods in numpydoc's sections.
autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
default_role = "literal"  # names in single backticks are code, as in the sources
add_module_names = False

sphinx_gallery_conf = {
    "examples_dirs": ["../examples"],
    "gallery_dirs": ["gallery"],
    "filename_pattern": r"/plot_",
    "ignore_pattern": r"(/benchmarks/|/paper_tables/|/detector/)",
    "within_subsection_order": "gallery_order.NewcomersFirst",
    "backreferences_dir": "_build/backreferences",
    "doc_module": ("noisyfit",),
    "parallel": int(os.environ.get("GALLERY_JOBS", "1")),
    "show_memory": False,
    "remove_config_comments": True,
    "plot_gallery": "True",
    "abort_on_example_error": True,
    "min_reported_time": 1,
    "download_all_examples": False,
}

html_theme = "furo"
html_title = "noisyfit"
html_static_path = ["_static"]
html_css_files = ["wide_tables.css"]
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": True}
copybutton_exclude = ".linenos, .gp, .go"


def link_examples(app, docname: str, source: list[str]) -> None:
    """Lead what readers of the sources need, scripts and their folder, to the gallery."""
    if "/" not in docname:
        name = r"`examples/(plot_\w+)\.py`"
        text = re.sub(name, r"[`examples/\1.py`](gallery/\1.rst)", source[0])
        source[0] = text.replace("](../examples/)", "](gallery/index.rst)")


def setup(app) -> None:
    """Register what runs before a page is read."""
    app.connect("source-read", link_examples)
