"""Who may import whom, and what `import skts` costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import skts

ROOT = Path(skts.__file__).parent
FAMILIES = {"fmamba", "moment", "flowmap", "fractal", "jointebm"}


def imports(path):
    """Modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module


FILES = {str(path.relative_to(ROOT)): set(imports(path)) for path in ROOT.rglob("*.py")}


def of(prefix):
    return {name: found for name, found in FILES.items() if name.startswith(prefix)}


def uses(found, package):
    return {m for m in found if m == package or m.startswith(package + ".")}


@pytest.mark.parametrize("name", FILES)
def test_only_the_engine_knows_skorch(name):
    if not name.startswith("engine/"):
        assert not uses(FILES[name], "skorch")


@pytest.mark.parametrize("name", FILES)
def test_only_interop_and_loaders_know_sktime(name):
    if not name.startswith(("interop/", "fmamba/estimator", "datasets/bundled")):
        assert not uses(FILES[name], "sktime")


@pytest.mark.parametrize("name", of("nn/"))
def test_nn_is_torch_alone(name):
    assert not {m for m in FILES[name] if m.startswith("skts") and not m.startswith("skts.nn")}
    assert not uses(FILES[name], "sklearn") | uses(FILES[name], "numpy")


@pytest.mark.parametrize("name", [n for n in FILES if n.endswith("/module.py")])
def test_modules_are_torch_and_nn(name):
    family = name.split("/")[0]
    assert {m.split(".")[0] for m in FILES[name]} <= {"torch", "math", "skts"}
    assert all(m.startswith(("skts.nn", f"skts.{family}.")) for m in FILES[name] if m.startswith("skts"))


@pytest.mark.parametrize("name", [n for n in FILES if n.split("/")[0] in FAMILIES])
def test_no_family_imports_another(name):
    others = FAMILIES - {name.split("/")[0]}
    assert not {m for m in FILES[name] if m.startswith("skts.") and m.split(".")[1] in others}


@pytest.mark.parametrize("name", [*of("inspection/"), *of("persistence/"), *of("engine/"), *of("nn/")])
def test_these_do_not_import_families(name):
    assert not {m for m in FILES[name] if m.startswith("skts.") and m.split(".")[1] in FAMILIES}


@pytest.mark.parametrize("name", FILES)
def test_nothing_unpickles(name):
    source = (ROOT / name).read_text()
    assert "pickle" not in source
    assert "joblib.load" not in source
    if name != "persistence/convert.py":
        assert "torch.load(" not in source


def test_import_is_light_and_fast():
    code = (
        "import sys, time; t = time.perf_counter(); import skts; t = time.perf_counter() - t\n"
        "heavy = {'torch', 'sktime', 'sklearn', 'skorch', 'pandas', 'numpy'} & set(sys.modules)\n"
        "print(t, sorted(heavy))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    seconds, heavy = out.split(maxsplit=1)
    assert heavy.strip() == "[]"
    assert float(seconds) < 0.2


def test_public_names_exist():
    for name in skts.__all__:
        assert getattr(skts, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        _ = skts.nonsense


def test_types_are_announced():
    assert (ROOT / "py.typed").exists()
