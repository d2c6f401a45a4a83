"""The documentation checks itself: docstring examples run, parameters are documented, the README's code runs."""

import doctest
import importlib
import inspect
import pkgutil
import re
import warnings
from pathlib import Path

import pytest

import skts

ROOT = Path(skts.__file__).parent
README = ROOT.parent / "README.md"
API = ROOT.parent / "docs" / "api.rst"
MODULES = [info.name for info in pkgutil.walk_packages([str(ROOT)], "skts.") if not info.name.endswith("__main__")]


def public_classes():
    for name in MODULES:
        module = importlib.import_module(name)
        for attribute in getattr(module, "__all__", ()):
            thing = getattr(module, attribute)
            if inspect.isclass(thing) and thing.__module__ == name:
                yield thing


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_run(name):
    module = importlib.import_module(name)
    assert module.__doc__, "every module says what it is for"
    result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert result.failed == 0


@pytest.mark.parametrize("name", MODULES)
def test_modules_say_what_is_public(name):
    module = importlib.import_module(name)
    if not name.endswith("skts.nn"):
        assert getattr(module, "__all__", None), f"{name} has no __all__"
        assert all(hasattr(module, attribute) for attribute in module.__all__)


@pytest.mark.parametrize("cls", list(public_classes()), ids=lambda c: c.__name__)
def test_every_constructor_parameter_is_documented(cls):
    text = (cls.__doc__ or "") + (cls.__init__.__doc__ or "")
    assert cls.__doc__, f"{cls.__name__} has no docstring"
    if issubclass(cls, Exception):
        return
    for name in inspect.signature(cls).parameters:
        if name not in ("args", "kwargs"):
            assert re.search(rf"\b{name}\b", text), f"{cls.__name__}: {name} is not documented"


@pytest.mark.parametrize("cls", [skts.FMambaForecaster], ids=lambda c: c.__name__)
def test_estimators_document_type_default_and_fitted_attributes(cls):
    for name, parameter in inspect.signature(cls).parameters.items():
        line = re.search(rf"^    {name} : (.+)$", cls.__doc__, re.MULTILINE)
        assert line, f"{name} has no line of its own"
        default = parameter.default
        shown = f'"{default}"' if isinstance(default, str) else f"{default}"
        assert f"default={shown}" in line[1].replace("2e-4", "0.0002"), line[0]
    for section in ("Attributes", "Notes", "References", "Examples"):
        assert f"{section}\n    ---" in cls.__doc__


def code_of(page):
    """The Python blocks of a page, one after another, as a reader would run them."""
    return "\n".join(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL))


PAGES = [
    page
    for page in [
        README,
        *sorted((ROOT.parent / "docs").glob("[a-z]*/*.md")),
        *sorted((ROOT.parent / "docs").glob("*.md")),
    ]
    if page.exists() and code_of(page) and page.name != "contributing.md"
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_of_the_pages_runs(page, capsys, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # sktime's search constructs forecasters of its own
        exec(compile(code_of(page), str(page.name), "exec"), {})
    assert capsys.readouterr().out


@pytest.mark.skipif(not README.exists(), reason="the README is not part of the wheel")
def test_readme_links_exist():
    for target in re.findall(r"\]\(([^)]+)\)", README.read_text()):
        assert target.startswith("http") or (README.parent / target).exists(), target


@pytest.mark.skipif(not API.exists(), reason="the pages are not part of the wheel")
@pytest.mark.parametrize(
    "name", ["skts", "skts.inspection", "skts.datasets", "skts.metrics", "skts.persistence", "skts.fmamba"]
)
def test_every_public_name_is_on_the_api_page(name):
    listed = set(re.findall(r"^   ([\w.]+)$", API.read_text(), re.MULTILINE))
    listed |= {entry.split(".")[-1] for entry in listed}
    public = set(importlib.import_module(name).__all__) - {"__version__"}
    assert public <= listed, f"missing in docs/api.rst: {sorted(public - listed)}"
