"""Sphinx configuration. `make docs` builds with warnings as errors and without network."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the gallery's networks are small: threads would wait for each other

from draw_architecture import draw  # noqa: E402

import skts  # noqa: E402

project = "skts"
author = "skts developers"
copyright = "2026, skts developers"  # noqa: A001
release = version = skts.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "mathml",
    "myst_parser",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "gallery/**/*.ipynb", "bench_*.md", "pretrain_*.md"]
templates_path = ["_templates"]
nitpicky = False
suppress_warnings = ["config.cache"]  # the gallery's sorting key is an object

html_theme = "pydata_sphinx_theme"
html_title = "skts"
html_theme_options = {
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "header_links_before_dropdown": 6,
    "secondary_sidebar_items": ["page-toc"],
}
html_static_path = ["_static"]
html_css_files = ["skts.css"]
html_math_renderer = "mathml"
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"  # numpydoc's sections say the types, with shapes
numpydoc_show_class_members = False
numpydoc_validation_checks = {
    *("GL01", "GL02", "GL03", "GL05", "GL06", "GL07", "GL08"),
    *("SS01", "SS02", "SS04", "PR01", "PR02", "PR03", "PR04", "PR05", "PR10", "RT01", "RT03", "YD01"),
}
# Methods of modules say their shapes in a comment where they are defined, those of batches in the Batches protocol;
# protocols of objects that a user brings say them in a sentence for each method.
numpydoc_validation_exclude = {
    r"^skts\.fmamba\.(attention|mamba|module|missing|replay)\.\w+\.\w+$",
    r"^skts\.engine\.\w+\.\w+$",
    r"^skts\.jointebm\.(OutputSpace|own\.Sampler|own\.Candidates)",
    r"^skts\.jointebm\.trust\.Trust\.\w+$",
    r"\.get_test_params$",
}

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"/plot_",
    "ignore_pattern": r"quickstart\.py",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_memory": False,
    "remove_config_comments": True,
    "image_scrapers": ("matplotlib",),
    "capture_repr": ("_repr_html_",),  # a display is its picture
    "reset_modules": ("matplotlib",),
}


def setup(app: object) -> None:
    """Draw the picture of the architecture from the imports, as they are now."""
    (HERE / "_static").mkdir(exist_ok=True)
    draw(HERE / "_static" / "architecture.svg")
