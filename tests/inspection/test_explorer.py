"""The explorer's page: what is written, and in a real browser what a person does with it."""

import base64
import json
import re
import sys

import numpy as np
import pytest
from sklearn.preprocessing import FunctionTransformer

from skts.datasets import make_annotated_series
from skts.errors import InputError
from skts.inspection import explore, interpretability_report, read_selection
from skts.inspection.explorer.payload import colouring, packed, packed_record, thinned
from skts.moment import MomentEmbedder
from tests.inspection.browser import CHROMIUM, Browser

TINY = {"d_model": 16, "d_ff": 32, "n_layers": 2, "n_heads": 2, "d_kv": 8}
WINDOW, STRIDE, STEPS = 48, 24, 1440
NAMES = np.array(["plain", "weak", "</script><b>swell", "ripple"])


@pytest.fixture(scope="module")
def series():
    return make_annotated_series("regimes", STEPS, random_state=0)


@pytest.fixture(scope="module")
def models(series):
    return [
        MomentEmbedder(weights="random", module_kwargs=TINY, random_state=seed, device="cpu").fit(series[0][None, None])
        for seed in (0, 1)
    ]


@pytest.fixture(scope="module")
def page(series, models, tmp_path_factory):
    pytest.importorskip("bokeh", reason="the explorer needs bokeh: pip install 'skts[explore]'")
    path = tmp_path_factory.mktemp("page") / "map.html"
    slope = {"position": np.arange(STEPS) + 0.5}
    X, y = np.stack([series[0], -2 * series[0]]), NAMES[series[1]]
    both = [MomentEmbedder(**m.get_params()).fit(X[None]) for m in models]
    options = {"window": WINDOW, "stride": STRIDE, "factors": slope, "title": "<i>Regimes</i>"}
    return both[1].explore(path, X, y, before=both[0], projections=["pca", "tsne"], **options)


@pytest.fixture(scope="module")
def opened(page):
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    browser = Browser(page.parent)
    browser.open(page)
    yield browser
    browser.close()


@pytest.fixture
def browser(opened):
    opened.run("document.getElementById('clear').click()")
    opened.run("document.querySelector('#projections button').click()")
    opened.settle()
    yield opened
    assert opened.errors == []


STARTS = np.arange(0, STEPS - WINDOW + 1, STRIDE)
MODEL = "[...Bokeh.documents[0]._all_models.values()].find(m => m.name === '{}')"


def model_of(name):
    return MODEL.format(name)


def columns(browser, name):
    """The columns that a glyph of this name draws."""
    source = model_of(name) + (".data" if name == "points" else ".data_source.data")
    return json.loads(
        browser.run(f"JSON.stringify(Object.fromEntries(Object.entries({source}).map(([k, v]) => [k, [...v]])))")
    )


def selected(browser):
    return browser.run(f"{model_of('points')}.selected.indices")


def frame(browser, name):
    """Left, top, width and height on the screen, and the ranges, of a figure's inner part."""
    return browser.run(
        f"(() => {{ const m = {model_of(name)}, v = Bokeh.index.find_one(m), f = v.frame.bbox;"
        " const b = v.canvas_view.el.getBoundingClientRect();"
        " return {left: b.x + f.left, top: b.y + f.top, width: f.width, height: f.height,"
        " x: [m.x_range.start, m.x_range.end], y: [m.y_range.start, m.y_range.end]}; })()"
    )


def on_screen(browser, name, x, y):
    f = frame(browser, name)
    across = (np.asarray(x) - f["x"][0]) / (f["x"][1] - f["x"][0])
    down = (f["y"][1] - np.asarray(y)) / (f["y"][1] - f["y"][0])
    return f["left"] + across * f["width"], f["top"] + down * f["height"]


def brush(browser, start, stop, shift=False):
    f = frame(browser, "record")
    x, _ = on_screen(browser, "record", np.linspace(start, stop, 6), 0)
    browser.drag([(float(v), f["top"] + 0.4 * f["height"]) for v in x], shift)


def loop_around(browser, chosen, number=0):
    """Drag a loop around the chosen dots, and say which dots it holds."""
    points = columns(browser, "points")
    x, y = on_screen(browser, f"map{number}", points[f"x{number}"], points[f"y{number}"])
    left, right, top, bottom = (
        x[chosen].min() - 3.5,
        x[chosen].max() + 3.5,
        y[chosen].min() - 3.5,
        y[chosen].max() + 3.5,
    )
    corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top + 1)]
    browser.drag([(float(a), float(b)) for a, b in corners])
    return np.flatnonzero((x > left) & (x < right) & (y > top) & (y < bottom)).tolist()


# ---- in a browser ---------------------------------------------------------------------------------------------------


def test_page_opens_without_network(browser, page):
    assert [url for url in browser.requests if not url.startswith(("data:", "blob:"))] == [page.resolve().as_uri()]
    assert browser.run("document.querySelector('h1').textContent") == "<i>Regimes</i>"
    assert browser.run("document.querySelectorAll('.map h2').length") == 2


def test_a_loop_on_the_map_marks_windows_on_the_series(browser):
    points = columns(browser, "points")
    chosen = np.argsort(np.hypot(np.array(points["x0"]) - points["x0"][5], np.array(points["y0"]) - points["y0"][5]))[
        :9
    ]
    inside = loop_around(browser, chosen)
    assert len(inside) >= 9
    assert selected(browser) == inside
    marked = np.zeros(STEPS, bool)
    for i in inside:
        marked[STARTS[i] : STARTS[i] + WINDOW] = True
    quads = columns(browser, "record_selected")
    found = np.zeros(STEPS, bool)
    for left, right in zip(quads["left"], quads["right"], strict=True):
        assert not found[left:right].any()
        found[left:right] = True
    np.testing.assert_array_equal(found, marked)
    assert (
        browser.run("document.getElementById('count').textContent")
        == f"{len(inside)} windows of {len(STARTS)} selected"
    )


def test_a_loop_on_the_second_map_selects_by_its_places(browser):
    inside = loop_around(browser, np.array([3]), number=1)
    assert 3 in inside
    assert selected(browser) == inside


@pytest.mark.parametrize(("start", "stop"), [(300, 700), (1100, 900), (400, 410)])
def test_a_brush_on_the_series_marks_points_on_the_map(browser, start, stop):
    brush(browser, start, stop)
    low, high = min(start, stop), max(start, stop)
    inside = np.minimum(high, STARTS + WINDOW) - np.maximum(low, STARTS)
    expected = np.flatnonzero(inside >= 0.5 * min(high - low, WINDOW))
    found = selected(browser)
    assert len(found) >= 1
    assert set(found) ^ set(expected.tolist()) <= {expected[0] - 1, expected[0], expected[-1], expected[-1] + 1}
    assert abs(len(found) - len(expected)) <= 1  # a pixel is two steps wide


def test_shift_adds_and_clear_and_escape_take_away(browser):
    brush(browser, 100, 300)
    first = set(selected(browser))
    brush(browser, 800, 1000, shift=True)
    both = set(selected(browser))
    assert first < both
    brush(browser, 800, 1000)
    assert set(selected(browser)) == both - first
    browser.send("Input.dispatchKeyEvent", type="keyDown", key="Escape")
    assert selected(browser) == []
    assert browser.run("document.getElementById('save').disabled")


def test_a_class_is_selected_by_its_name_and_names_are_text(browser, series):
    labels = browser.run("[...document.querySelectorAll('#key button')].map(b => b.textContent)")
    assert labels == sorted(NAMES.tolist())
    browser.click_on("#key button:nth-child(2)")
    codes = [np.bincount(series[1][s : s + WINDOW]).argmax() for s in STARTS]
    assert selected(browser) == [i for i, code in enumerate(codes) if NAMES[code] == labels[1]]


@pytest.mark.parametrize("level", [False, True])
def test_mean_and_band_are_those_of_the_selected_windows(browser, series, level):
    brush(browser, 300, 700)
    if level:
        browser.click_on("#level")
    rows = np.stack([series[0][STARTS[i] : STARTS[i] + WINDOW] for i in selected(browser)])
    if level:
        rows = (rows - rows.mean(1, keepdims=True)) / rows.std(1, keepdims=True)
    mean, band = columns(browser, "shape_mean"), columns(browser, "shape_band")
    np.testing.assert_allclose(mean["y"], rows.mean(0), atol=1e-3)
    low, high = np.array(band["y1"]) - 1e-3, np.array(band["y2"]) + 1e-3
    assert 0.8 <= ((rows >= low) & (rows <= high)).mean() < 1
    if level:
        browser.click_on("#level")


def test_the_saved_selection_is_read_back(browser, page):
    brush(browser, 500, 800)
    browser.click_on("#save")
    path = page.parent / "selection.json"
    for _ in range(100):
        if path.exists() and path.stat().st_size:
            break
        browser.settle()
    assert read_selection(path).tolist() == selected(browser)
    found = json.loads(path.read_text())
    assert found["starts"] == STARTS[found["indices"]].tolist()
    assert found["stops"] == (STARTS[found["indices"]] + WINDOW).tolist()


def test_another_projection_moves_the_dots_and_keeps_the_selection(browser, page):
    brush(browser, 200, 500)
    before, chosen = columns(browser, "points"), selected(browser)
    browser.click_on("#projections button:nth-child(2)")
    after = columns(browser, "points")
    assert not np.allclose(before["x0"], after["x0"])
    assert selected(browser) == chosen
    for number, maps in enumerate(payload(page)["maps"].values()):
        np.testing.assert_allclose(after[f"x{number}"], unpacked(maps["tsne"]["x"]))
        np.testing.assert_allclose(after[f"y{number}"], unpacked(maps["tsne"]["y"]))
    f = frame(browser, "map0")
    x, y = on_screen(browser, "map0", after["x0"], after["y0"])
    assert (x.min() > f["left"], x.max() < f["left"] + f["width"]) == (True, True)
    assert (y.min() > f["top"], y.max() < f["top"] + f["height"]) == (True, True)


def test_colours_and_the_strip_follow_the_choice(browser):
    seen = set()
    for k, option in enumerate(browser.run("[...document.getElementById('colour').options].map(o => o.textContent)")):
        browser.run(f"document.getElementById('colour').value = {k}; document.getElementById('colour').onchange()")
        color = columns(browser, "points")["color"]
        seen.add(tuple(color))
        strip = columns(browser, "record_strip")
        assert set(strip["color"]) == set(color)
        assert (strip["left"][0], strip["right"][-1]) == (0, STEPS)
        if option in ("time", "position"):
            assert len(set(color)) > 0.9 * len(STARTS)
    assert len(seen) == 3  # label; position and time, which are the same here; groups
    browser.run("document.getElementById('colour').value = 0; document.getElementById('colour').onchange()")


def test_a_dot_under_the_mouse_is_shown_everywhere(browser):
    points = columns(browser, "points")
    x, y = on_screen(browser, "map0", points["x0"], points["y0"])
    alone = int(np.argmax(np.sort(np.hypot(x[:, None] - x, y[:, None] - y), 1)[:, 1]))
    browser.mouse("mouseMoved", float(x[alone]), float(y[alone]), buttons=0)
    browser.settle()
    mark = columns(browser, "record_pointed")
    assert (mark["left"], mark["right"]) == ([STARTS[alone]], [STARTS[alone] + WINDOW])
    assert columns(browser, "map1_pointed")["x"] == [points["x1"][alone]]
    browser.mouse("mouseMoved", 5.0, 5.0, buttons=0)
    browser.settle()
    assert columns(browser, "record_pointed")["left"] == []


def test_path_and_channel_can_be_chosen(browser, series):
    assert browser.run(f"{model_of('map0_path')}.visible") is False
    browser.click_on("#path")
    assert browser.run(f"{model_of('map0_path')}.visible") is True
    points, path = columns(browser, "points"), columns(browser, "map0_path")
    assert (path["x"], path["y"]) == (points["x0"], points["y0"])
    browser.run("document.getElementById('channel').value = 1; document.getElementById('channel').onchange()")
    line = columns(browser, "record_line")
    np.testing.assert_allclose(line["y"], -2 * series[0][np.array(line["x"], int)], atol=1e-3)
    browser.run("document.getElementById('channel').value = 0; document.getElementById('channel').onchange()")
    browser.click_on("#path")


def test_the_table_has_the_measures_of_both_models(browser):
    rows = browser.run("[...document.querySelectorAll('#measures tbody tr:not(.space)')].map(r => r.children.length)")
    assert rows == [5] * 16


# ---- what is written ------------------------------------------------------------------------------------------------


def payload(path):
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', path.read_text(), re.DOTALL)
    return json.loads(found[1])


def unpacked(found):
    q = np.frombuffer(base64.b64decode(found["data"]), "<u2")
    return np.where(q == 65535, np.nan, found["offset"] + found["scale"] * q)


def test_numbers_come_back_to_half_a_level():
    x = np.random.default_rng(0).normal(size=1000) * 1e6
    x[7] = np.nan
    found = unpacked(packed(x))
    assert np.isnan(found[7])
    assert np.nanmax(np.abs(found - x)) <= 0.5001 * (np.nanmax(x) - np.nanmin(x)) / 65534
    np.testing.assert_array_equal(unpacked(packed(np.full(3, 2.5))), 2.5)
    assert np.isnan(unpacked(packed(np.full(3, np.nan)))).all()


def test_thinning_keeps_the_extremes_in_their_order():
    x = np.random.default_rng(0).normal(size=103)
    found = thinned(x, 10).reshape(-1, 2)
    for i, pair in enumerate(found):
        part = x[10 * i : 10 * i + 10]
        assert set(pair) == {part.min(), part.max()}
        assert (pair[0] == part.min()) == (part.argmin() < part.argmax()) or part.min() == part.max()
    record = packed_record(np.zeros((2, 500_000)), ["a", "b"])
    values = unpacked(record["channels"][0])
    assert len(values) * 2 <= 410_000
    assert len(values) * record["step"] == pytest.approx(500_000, rel=1e-3)


def test_many_classes_are_a_scale():
    assert colouring("y", "label", np.array(list("abca")))["classes"] == ["a", "b", "c"]
    assert "values" in colouring("y", "label", np.arange(100))
    assert "values" in colouring("y", "label", np.array([0.5, 1.0]))


def test_page_has_the_report_and_allows_nothing_from_outside(page, series, models):
    found = payload(page)
    assert list(found["maps"]) == ["before", "after"]
    assert {row["space"] for row in found["table"]} == {"embedding", "map"}
    text = page.read_text()
    assert "default-src 'none'" in text
    assert "cdn.bokeh.org" not in text.split('<script type="application/json" id="data">')[1]
    assert not re.search(r'<(script|link|img)[^>]*(src|href)="http', text)


def test_two_thousand_windows_of_twenty_thousand_steps_are_below_three_megabytes(tmp_path):
    pytest.importorskip("bokeh")
    long, y = make_annotated_series("regimes", 20_000, random_state=0)
    features = FunctionTransformer(lambda X: X[:, ::16]).fit(np.zeros((1, 96)))
    options = {
        "window": 96,
        "stride": 9,
        "max_windows": 2500,
        "projections": "pca",
        "factors": {"label": y, "position": np.arange(20_000) + 0.5},
    }
    path = explore({"before": features, "after": features}, tmp_path / "big.html", long, **options)
    assert (payload(path)["n"], payload(path)["record"]["step"]) == (2212, 1)
    assert path.stat().st_size < 3_000_000


def test_a_panel_of_unequal_series_is_explored(tmp_path, models):
    pytest.importorskip("bokeh")
    parts = [np.sin(np.arange(40 + 5 * i) / (3 + i % 2)) for i in range(12)]
    found = payload(models[0].explore(tmp_path / "panel.html", parts, np.arange(12) % 2, projections="pca"))
    assert (found["kind"], found["n"], found["window"]) == ("panel", 12, None)
    assert found["record"]["length"] == sum(map(len, parts))


def test_the_estimator_has_the_same_report(series, models):
    own = models[1].interpretability_report(series[0], series[1], before=models[0], window=WINDOW)
    named = {"before": models[0], "after": models[1]}
    assert own.equals(interpretability_report(named, series[0], series[1], window=WINDOW))
    alone = models[1].interpretability_report(series[0], series[1], window=WINDOW)
    assert alone["model"].unique().tolist() == ["MomentEmbedder"]


def test_without_bokeh_it_says_what_to_install(tmp_path, series, models, monkeypatch):
    monkeypatch.setitem(sys.modules, "bokeh", None)
    with pytest.raises(ImportError, match=r"skts\[explore\]"):
        explore(models[0], tmp_path / "x.html", series[0], window=WINDOW)


def test_more_than_two_models_and_no_projection_are_refused(tmp_path, series, models):
    pytest.importorskip("bokeh")
    with pytest.raises(InputError, match="one model, or a dict of two"):
        explore(dict.fromkeys("abc", models[0]), tmp_path / "x.html", series[0], window=WINDOW)
    with pytest.raises(InputError, match="at least one projection"):
        explore(models[0], tmp_path / "x.html", series[0], window=WINDOW, projections=[])


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "[]",
        '{"format": "other", "n_windows": 3, "indices": []}',
        '{"format": "skts-selection-1", "n_windows": 3, "indices": [3]}',
        '{"format": "skts-selection-1", "n_windows": 3, "indices": [true]}',
    ],
)
def test_files_of_others_are_refused(tmp_path, text):
    (tmp_path / "selection.json").write_text(text)
    with pytest.raises(InputError, match="button"):
        read_selection(tmp_path / "selection.json")
