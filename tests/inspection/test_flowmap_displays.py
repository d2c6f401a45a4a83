"""Displays of simulators: what they draw is what model, truth and guard say, and every picture can be read."""

import itertools
import math

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex
from sklearn.exceptions import NotFittedError

from skts import FlowMapSimulator
from skts.datasets import kuramoto_sivashinsky_solver, make_hits_system, make_kuramoto_sivashinsky
from skts.errors import DivergenceError, InputError
from skts.inspection import LatentPathDisplay, SpaceTimeDisplay, SpeedAccuracyDisplay, StepSelectionDisplay
from skts.inspection.style import ACCENT, MUTED, TRUTH

mpl.use("Agg")
DT, LYAPUNOV_TIME = 0.25, 20.83
SMALL = 2.4  # largest values of the trajectories that the model of the plane has seen
TINY = {"hidden": (8,), "n_batches": 4}


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def quadratic(**parameters):
    """Least squares: fits at once, and is the same each time."""
    return FlowMapSimulator(**{"stepper": "opinf", "random_state": 0, **parameters})


@pytest.fixture(scope="module")
def field():
    X = make_kuramoto_sivashinsky(6, 401, DT, random_state=0)
    return quadratic(dt=DT, n_components=12, step_sizes=[1, 2, 4]).fit(X[:5]), X


@pytest.fixture(scope="module")
def plane():
    """A model that knows small states alone, all trajectories, and the place of one that is flagged on the way."""
    X = make_hits_system("van_der_pol", 12, 60, 0.05, random_state=0)
    small = np.abs(X).max((1, 2)) < SMALL
    assert small.any()
    assert not small.all()
    model = quadratic(dt=0.05, coordinates="identity", step_sizes=[1, 2], validation_fraction=0.0).fit(X[small])
    first = model.set_params(on_divergence="clip").simulate(X[:, 0], 59, return_info=True)[1]["first_flagged"]
    assert (first > 0).any()  # what follows draws such a case
    order = np.argsort(np.select([first > 0, first == 0], [0, 1], 2))  # flagged on the way, at the start, never
    return model.set_params(on_divergence="warn"), X[order], 0


def texts(labels):
    return [label.get_text() for label in labels]


def lines(ax):
    return {line.get_label(): line for line in ax.lines}


def overlap(artists):
    """Whether any two words stand on each other."""
    boxes = [artist.get_window_extent() for artist in artists if artist.get_text()]
    return any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


# ---- space and time ---------------------------------------------------------------------------------------------


def test_a_field_is_drawn_as_truth_simulation_and_difference(field):
    model, X = field
    display = SpaceTimeDisplay.from_estimator(model, X[5], time_unit=LYAPUNOV_TIME)
    found = model.simulate(X[5, :1], 400)[0]
    truth, simulation, difference = (ax.images[0].get_array() for ax in display.axes_)
    np.testing.assert_allclose(truth, X[5].T)
    np.testing.assert_allclose(simulation, found.T)
    np.testing.assert_allclose(difference, (found - X[5]).T)
    clims = {ax.images[0].get_clim() for ax in display.axes_}
    assert clims == {(-np.abs(X[5]).max(), np.abs(X[5]).max())}
    half = 0.5 * DT / LYAPUNOV_TIME
    np.testing.assert_allclose(display.axes_[0].get_xlim(), (-half, 400 * DT / LYAPUNOV_TIME + half))


@pytest.mark.parametrize(("scale", "unit"), [(None, None), (1.186, LYAPUNOV_TIME), (np.full(64, 2.0), 3.0)])
def test_the_dashed_line_is_where_the_error_passes_the_threshold(field, scale, unit):
    model, X = field
    display = SpaceTimeDisplay.from_estimator(model, X[[5]], threshold=0.3, scale=scale, time_unit=unit)
    found = model.simulate(X[5, :1], 400)[0]
    divisor = X[5].std() if scale is None else scale
    error = np.sqrt(np.mean(((found - X[5]) / divisor) ** 2, axis=1))
    np.testing.assert_allclose(display.error_, error)
    assert error.max() > 0.3
    expected = np.flatnonzero(error > 0.3)[0] * DT / (unit or 1)
    assert display.valid_time_ == pytest.approx(expected)
    for ax in display.axes_:
        assert lines(ax)["error above 0.3"].get_xdata()[0] == pytest.approx(expected)
    assert f"{expected:.3g}" in display.axes_[0].get_title(loc="left")


def test_a_simulation_that_stays_right_has_no_dashed_line(field):
    model, X = field
    display = SpaceTimeDisplay.from_estimator(model, X[5, :20])
    assert (display.error_ < 0.5).all()
    assert not display.axes_[0].lines
    assert display.valid_time_ == pytest.approx(19 * DT)
    assert "right to the end" in display.axes_[0].get_title(loc="left")
    assert "nothing flagged" in display.axes_[0].get_title(loc="left")


def test_few_features_are_lines(plane):
    model, X, _ = plane
    X = X[-1]
    display = SpaceTimeDisplay.from_estimator(model, X)
    assert display.status == "ok"
    found = model.simulate(X[:1], 59)[0]
    assert len(display.axes_) == 2
    for k, ax in enumerate(display.axes_):
        assert not ax.images
        np.testing.assert_allclose(lines(ax)["truth"].get_xdata(), 0.05 * np.arange(60))
        np.testing.assert_allclose(lines(ax)["truth"].get_ydata(), X[:, k])
        np.testing.assert_allclose(lines(ax)["simulation"].get_ydata(), found[:, k])
        assert ax.get_ylabel() == f"feature {k}"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("policy", ["warn", "clip", "nan"])
def test_the_guard_shades_what_it_no_longer_trusts(plane, policy):
    model, X, flagged = plane
    model.set_params(on_divergence=policy)
    try:
        display = SpaceTimeDisplay.from_estimator(model, X[flagged])  # without the warning: the picture says it
    finally:
        model.set_params(on_divergence="warn")
    with pytest.warns(UserWarning, match="left what training has shown"):
        info = model.simulate(X[flagged, :1], 59, return_info=True)[1]
    assert display.first_flagged == info["first_flagged"][0] > 0
    assert display.status == info["status"][0] == "left"
    for ax in display.axes_:
        low, high = ax.patches[0].get_extents().transformed(ax.transData.inverted()).intervalx
        assert (low, high) == pytest.approx((0.05 * display.first_flagged, 0.05 * 59))
    assert f'"left" from {0.05 * display.first_flagged:.3g} on' in display.axes_[0].get_title(loc="left")


def test_what_a_solver_has_made_is_marked_instead_of_all_that_follows():
    y_true, made = np.random.default_rng(0).standard_normal((20, 3)), np.zeros(20, bool)
    made[[1, 2, 3, 9]] = True
    display = SpaceTimeDisplay(y_true, y_true, dt=0.5, first_flagged=0, status="left", by_solver=made).plot()
    for ax in display.axes_:
        spans = [p.get_extents().transformed(ax.transData.inverted()).intervalx for p in ax.patches]
        np.testing.assert_allclose(spans, [(0, 1.5), (4, 4.5)])
    assert {p.get_label() for p in display.axes_[0].patches} == {"by the solver"}
    assert "4 samples by the solver" in display.axes_[0].get_title(loc="left")


def test_of_images_the_truth_is_always_trusted():
    y_true = np.random.default_rng(0).standard_normal((20, 8))
    display = SpaceTimeDisplay(y_true, y_true, first_flagged=5, status="left").plot()
    assert [len(ax.patches) for ax in display.axes_] == [0, 1, 1]
    assert display.axes_[1].patches[0].get_hatch()


def test_a_flag_behind_the_last_sample_is_told_but_shades_nothing():
    y_true = np.random.default_rng(0).standard_normal((20, 8))
    display = SpaceTimeDisplay(y_true, y_true, first_flagged=22, status="left").plot()
    assert not any(ax.patches for ax in display.axes_)
    assert '"left" from 22 on' in display.axes_[0].get_title(loc="left")


def test_what_is_not_a_number_is_drawn_as_nothing_and_is_not_right():
    y_true = np.random.default_rng(0).standard_normal((20, 8))
    y_pred = y_true.copy()
    y_pred[7:] = np.nan
    y_pred[9, 3] = np.inf
    display = SpaceTimeDisplay(y_true, y_pred, dt=0.5).plot()
    assert display.valid_time_ == 3.5
    assert np.ma.getmaskarray(display.axes_[1].images[0].get_array())[:, 7:].all()
    few = SpaceTimeDisplay(y_true[:, :2], y_pred[:, :2]).plot()
    assert np.isfinite(few.axes_[0].get_ylim()).all()


def test_lines_that_run_away_do_not_flatten_the_truth():
    y_true = np.sin(np.arange(50.0))[:, None]
    display = SpaceTimeDisplay(y_true, y_true + np.exp(np.arange(50.0))[:, None]).plot()
    low, high = display.axes_[0].get_ylim()
    assert high - low < 3 * np.ptp(y_true)
    assert low < y_true.min() < y_true.max() < high


def test_a_field_far_from_zero_is_drawn_around_its_mean():
    y_true = 300 + np.random.default_rng(0).standard_normal((20, 8))
    display = SpaceTimeDisplay(y_true, y_true + 0.5).plot()
    truth, _, difference = (ax.images[0] for ax in display.axes_)
    np.testing.assert_allclose(truth.get_array(), (y_true - y_true.mean()).T)
    np.testing.assert_allclose(difference.get_array(), 0.5)
    bar = display.figure_.axes[-1]
    assert bar.get_ylabel() == f"value less {y_true.mean():.4g} (the mean)"


def test_a_part_of_the_features_is_drawn_but_all_are_judged(field):
    model, X = field
    whole = SpaceTimeDisplay.from_estimator(model, X[5])
    space = np.arange(16) * 0.5
    part = SpaceTimeDisplay.from_estimator(model, X[5], features=slice(16, 32), space=space)
    np.testing.assert_allclose(part.axes_[0].images[0].get_array(), X[5, :, 16:32].T)
    np.testing.assert_allclose(part.axes_[0].get_ylim(), (-0.25, 7.75))
    assert "position" in part.axes_[0].get_ylabel()
    assert part.valid_time_ == whole.valid_time_
    few = SpaceTimeDisplay.from_estimator(model, X[5], features=[3, 40], space=[1.0, 9.5])
    assert [ax.get_ylabel() for ax in few.axes_] == ["at 1", "at 9.5"]


def test_columns_give_their_names(plane):
    _, X, _ = plane
    frame = pd.DataFrame(X[0], columns=["angle", "speed"])
    model = quadratic(dt=0.05, coordinates="identity", step_sizes=[1]).fit(frame)
    display = SpaceTimeDisplay.from_estimator(model, frame)
    assert [ax.get_ylabel() for ax in display.axes_] == ["angle", "speed"]


def test_controls_and_parameters_reach_the_simulation():
    rng = np.random.default_rng(0)
    u, p = rng.uniform(-1, 1, (4, 80, 1)), np.array([[0.1], [0.2], [0.3], [0.4]])
    X = np.zeros((4, 80, 1))
    for t in range(79):
        X[:, t + 1] = 0.9 * X[:, t] + u[:, t] + p
    model = FlowMapSimulator(step_sizes=[1], max_epochs=1, module_kwargs=TINY, random_state=0).fit(X, u=u, params=p)
    display = SpaceTimeDisplay.from_estimator(model, X[3], u=u[3, :-1], params=p[3])
    expected = model.set_params(on_divergence="clip").simulate(X[3, :1], 79, u=u[3, :-1], params=p[3])[0]
    model.set_params(on_divergence="warn")
    np.testing.assert_allclose(display.y_pred[:5], expected[:5], rtol=1e-5)
    with pytest.raises(InputError, match="columns of controls"):
        SpaceTimeDisplay.from_estimator(model, X[3])


@pytest.mark.parametrize("size", [(6.4, 4.8), (10, 7)])
def test_space_and_time_fit_into_axes_of_the_users(field, size):
    model, X = field
    figure, axes = plt.subplots(3, 1, figsize=size)
    display = SpaceTimeDisplay.from_estimator(model, X[5], time_unit=LYAPUNOV_TIME, ax=axes)
    assert display.figure_ is figure
    assert all(a is b for a, b in zip(display.axes_, axes, strict=True))
    figure.draw_without_rendering()
    head = axes[0]
    assert not overlap([head.title, head._left_title, *head.get_legend().get_texts()])


def test_refusals_of_space_and_time(field, plane):
    model, X = field
    with pytest.raises(NotFittedError):
        SpaceTimeDisplay.from_estimator(quadratic(), X[5])
    for wrong in (X, X[5, :1], X[5, 0]):
        with pytest.raises(InputError, match=r"one trajectory .* Got shape"):
            SpaceTimeDisplay.from_estimator(model, wrong)
    with pytest.raises(InputError, match="finite trajectory"):
        SpaceTimeDisplay.from_estimator(model, np.where(X[5] > 2, np.nan, X[5]))
    with pytest.raises(InputError, match="features from 0 to 63"):
        SpaceTimeDisplay.from_estimator(model, X[5], features=[64])
    with pytest.raises(InputError, match="features from 0 to 63"):
        SpaceTimeDisplay.from_estimator(model, X[5], features=slice(70, 80))
    for space in (np.arange(63), np.arange(64.0) ** 2, np.zeros(64)):
        with pytest.raises(InputError, match="64 evenly spaced positions"):
            SpaceTimeDisplay.from_estimator(model, X[5], space=space)
    with pytest.raises(InputError, match="3 axes"):
        SpaceTimeDisplay.from_estimator(model, X[5], ax=plt.subplots()[1])
    with pytest.raises(InputError, match="time_unit"):
        SpaceTimeDisplay(X[5], X[5], time_unit=0.0)
    with pytest.raises(InputError, match="truth that varies"):
        SpaceTimeDisplay(np.ones((5, 2)), np.ones((5, 2)))
    raising, Y, flagged = plane
    try:
        with pytest.raises(DivergenceError):
            SpaceTimeDisplay.from_estimator(raising.set_params(on_divergence="raise"), Y[flagged])
    finally:
        raising.set_params(on_divergence="warn")


# ---- latent coordinates -----------------------------------------------------------------------------------------


def test_paths_are_drawn_in_latent_coordinates(field):
    model, X = field
    display = LatentPathDisplay.from_estimator(model, X, (2, 0), trajectory=5, n_steps=50)
    found = model.simulate(X[5, :1], 50)[0]
    for name, states in (("truth", X[5, :51]), ("simulation", found)):
        drawn = np.transpose(lines(display.ax_)[name].get_data())
        np.testing.assert_allclose(drawn, model.transform(states)[:, [2, 0]], atol=1e-4)
    start = np.ravel(lines(display.ax_)["start"].get_data())
    np.testing.assert_allclose(start, model.transform(X[5, :1])[0, [2, 0]], atol=1e-5)
    points = display.ax_.collections[0].get_offsets()
    states = model.transform(X.reshape(-1, 64))
    np.testing.assert_allclose(display.known, states, atol=1e-5)
    assert len(points) == min(4000, len(states))
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("latent coordinate 2", "latent coordinate 0")
    assert not display.unknown_.any()


def border_of(display):
    """Points of the contour line."""
    from matplotlib.contour import ContourSet

    (contour,) = [artist for artist in display.ax_.get_children() if isinstance(artist, ContourSet)]
    return np.concatenate([path.vertices for path in contour.get_paths()])


def test_the_border_of_the_plane_is_where_the_distance_is_one(plane):
    model, X, flagged = plane
    display = LatentPathDisplay.from_estimator(model, X, trajectory=flagged)
    assert display.border_drawn_
    border = border_of(display)
    # Mahalanobis distance is quadratic: the border is the ellipse of the training data's covariance.
    small = np.abs(X).max((1, 2)) < SMALL
    rows = model.transform(X[small].reshape(-1, 2)).astype(float)
    precision = np.linalg.inv(np.cov(rows.T))
    centered = border - rows.mean(0)
    radius = np.sqrt(np.einsum("ni,ij,nj->n", centered, precision, centered))
    assert np.ptp(radius) / radius.mean() < 0.01
    np.testing.assert_allclose(display.distance(border.astype(np.float32)), 1, atol=0.01)


def test_states_beyond_the_border_are_marked(plane):
    model, X, flagged = plane
    display = LatentPathDisplay.from_estimator(model, X, trajectory=flagged)
    first = SpaceTimeDisplay.from_estimator(model, X[flagged]).first_flagged
    assert np.flatnonzero(display.unknown_)[0] in (first - 1, first)  # between two steps a state is interpolated
    marked = np.transpose(lines(display.ax_)["not known"].get_data())
    np.testing.assert_allclose(marked, display.path_pred[display.unknown_])
    model.set_params(on_divergence="clip")
    try:
        clipped = LatentPathDisplay.from_estimator(model, X, trajectory=flagged)
    finally:
        model.set_params(on_divergence="warn")
    on_steps = clipped.unknown_[::2]
    assert not on_steps.any()  # moved back to the border is not beyond it


def test_what_is_not_a_number_is_not_known():
    known = np.random.default_rng(0).standard_normal((100, 3))
    path = known[:10].copy()
    path[6:] = np.nan
    display = LatentPathDisplay(known, known[:10], path, distance=lambda z: np.zeros(len(z))).plot()
    np.testing.assert_array_equal(display.unknown_, [False] * 6 + [True] * 4)
    assert np.isfinite([display.ax_.get_xlim(), display.ax_.get_ylim()]).all()


def test_a_path_that_runs_away_does_not_shrink_what_is_known():
    known = np.random.default_rng(0).standard_normal((100, 2))
    display = LatentPathDisplay(known, known[:9], known[:9] * 10.0 ** np.arange(9)[:, None]).plot()
    assert np.ptp(display.ax_.get_xlim()) < 4 * np.ptp(known[:, 0])
    assert np.ptp(display.ax_.get_ylim()) < 4 * np.ptp(known[:, 1])


def test_a_border_outside_the_picture_is_said_to_be_there():
    known = np.random.default_rng(0).standard_normal((100, 2))
    for far, words in ((100.0, "(border outside the picture)"), (2.0, "border of the known")):
        display = LatentPathDisplay(
            known, known[:5], known[:5], distance=lambda z, far=far: np.linalg.norm(z, axis=1) / far
        )
        assert words in texts(display.plot().ax_.get_legend().get_texts())
        assert display.border_drawn_ == (far < 10)
    radius = np.linalg.norm(border_of(display), axis=1)
    np.testing.assert_allclose(radius, 2.0, rtol=0.01)


def test_the_border_is_a_slice_at_the_mean_of_the_others():
    known = np.random.default_rng(0).standard_normal((100, 3)) + np.array([0, 0, 1])
    display = LatentPathDisplay(known, known[:5], known[:5], distance=lambda z: np.linalg.norm(z, axis=1) / 2).plot()
    radius = np.linalg.norm(border_of(display), axis=1)
    mean = known.mean(0)[2]
    np.testing.assert_allclose(radius, math.sqrt(4 - mean**2), rtol=0.01)


def test_lists_with_gaps_and_pandas_output_give_the_same_picture(plane):
    model, X, _ = plane
    first = LatentPathDisplay.from_estimator(model, X[:3], trajectory=1)
    gap = X[2].copy()
    gap[10:12] = np.nan
    other = LatentPathDisplay.from_estimator(model, [X[0, :30], X[1], gap], trajectory=1)
    np.testing.assert_allclose(other.path_pred, first.path_pred)
    assert len(other.known) == 30 + 60 + 58
    try:
        wide = LatentPathDisplay.from_estimator(model.set_output(transform="pandas"), X[:3], trajectory=1)
    finally:
        model.set_output(transform="default")
    np.testing.assert_allclose(wide.known, first.known)


def test_the_legend_covers_no_state(plane):
    model, X, flagged = plane
    for size in ((6.4, 4.8), (9, 7)):
        ax = plt.subplots(figsize=size)[1]
        display = LatentPathDisplay.from_estimator(model, X, trajectory=flagged, ax=ax)
        assert display.ax_ is ax
        ax.figure.draw_without_rendering()
        legend = ax.get_legend().get_window_extent()
        pixels = ax.transData.transform(np.concatenate([display.known, display.path_true]))
        assert not any(legend.contains(*pixel) for pixel in pixels)
        assert not overlap([ax._left_title, *ax.get_legend().get_texts()])


def test_refusals_of_latent_paths(field):
    model, X = field
    with pytest.raises(NotFittedError):
        LatentPathDisplay.from_estimator(quadratic(), X)
    for pair in ((0, 12), (0, 0), (0,), (-1, 0), "01"):
        with pytest.raises(InputError, match="two different components from 0 to 11"):
            LatentPathDisplay.from_estimator(model, X, pair)
    with pytest.raises(InputError, match="a trajectory from 0 to 5"):
        LatentPathDisplay.from_estimator(model, X, trajectory=6)
    with pytest.raises(InputError, match="at least two samples"):
        LatentPathDisplay.from_estimator(model, X, n_steps=0)
    with pytest.raises(InputError, match="finite trajectory"):
        LatentPathDisplay.from_estimator(model, np.where(X > 2, np.nan, X))
    with pytest.raises(InputError, match="trajectories"):
        LatentPathDisplay.from_estimator(model, X[0, 0])
    line = make_hits_system("cubic", 3, 100, 0.05, random_state=0)[..., :1]
    single = FlowMapSimulator(step_sizes=[1], max_epochs=1, module_kwargs=TINY, random_state=0).fit(line)
    with pytest.raises(InputError, match="One coordinate has no plane"):
        LatentPathDisplay.from_estimator(single, line)


# ---- steps ------------------------------------------------------------------------------------------------------


def test_every_set_that_was_tried_is_a_row_of_cells_and_a_dot(field):
    model, _ = field
    display = StepSelectionDisplay.from_estimator(model)
    left, right = display.axes_
    errors = {tuple(map(int, name.split("-"))): error for name, error in model.selection_errors_.items()}
    assert len(errors) == 6  # contiguous ranges of three steps
    assert set(display.sets_) == set(errors)
    dots = right.collections[0].get_offsets()
    np.testing.assert_allclose(dots[:, 0], [errors[steps] for steps in display.sets_])
    assert (np.diff(dots[:, 0]) >= 0).all()
    assert texts(left.get_xticklabels()) == ["1", "2", "4"]
    for steps, cells in zip(display.sets_, left.collections, strict=False):
        filled = [to_hex(color) != "#e8e8e8" for color in cells.get_facecolors()]
        assert filled == [step in steps for step in (1, 2, 4)]
    assert "samples of 0.25" in left.get_xlabel()


def test_the_selected_set_alone_is_marked(field):
    model, _ = field
    display = StepSelectionDisplay.from_estimator(model)
    row = display.sets_.index(tuple(model.selected_steps_))
    colors = [to_hex(color) for color in display.axes_[1].collections[0].get_facecolors()]
    assert [color == TRUTH for color in colors] == [i == row for i in range(len(colors))]
    assert ["selected" in text for text in texts(display.axes_[1].texts)] == [i == row for i in range(len(colors))]


def test_of_equal_errors_the_selected_set_comes_first():
    display = StepSelectionDisplay({"1-2": 0.5, "1": 0.5, "2": 0.5}, [2])
    assert display.sets_[0] == (2,)


def test_of_many_sets_the_best_are_drawn_and_the_selected_one():
    errors = {f"{a}-{b}": float(a + b) for a in range(1, 9) for b in range(9, 14)}
    display = StepSelectionDisplay(errors, [8, 13], n_sets=5).plot()
    assert display.sets_ == [(1, 9), (1, 10), (2, 9), (1, 11), (8, 13)]
    assert "40 sets of steps tried, 5 drawn" in display.axes_[1].get_title(loc="left")


def test_wide_errors_have_a_logarithmic_axis_and_what_is_no_number_comes_last():
    wide = StepSelectionDisplay({"1": 1e-4, "2": 0.5, "4": np.nan, "8": np.inf}, [1]).plot()
    assert wide.axes_[1].get_xscale() == "log"
    assert wide.sets_[:2] == [(1,), (2,)]
    assert {"nan", "inf"} <= set(texts(wide.axes_[1].texts))
    for errors in ({"1": 0.2, "2": 0.5}, {"1": 0.0}, {"1": np.inf}):
        narrow = StepSelectionDisplay(errors, [1]).plot().axes_[1]
        assert narrow.get_xscale() == "linear"
        assert narrow.get_xlim()[0] == 0  # lengths of the lines are to scale


@pytest.mark.parametrize("size", [(6.4, 4.8), (9, 6)])
def test_fifteen_sets_are_readable(size):
    steps = [2, 4, 8, 16, 32]
    errors = {"-".join(map(str, steps[a:b])): 0.1 * a + 0.02 * b for a in range(5) for b in range(a + 1, 6)}
    figure, axes = plt.subplots(1, 2, figsize=size)
    display = StepSelectionDisplay(errors, [2], 1.0, name="FlowMapSimulator").plot(ax=axes)
    assert display.axes_[0] is axes[0]
    assert len(display.sets_) == 15
    figure.draw_without_rendering()
    assert not overlap([*axes[1].texts, axes[1].xaxis.label, axes[0]._left_title, axes[1]._left_title])
    assert not overlap(axes[0].get_xticklabels())


def test_refusals_of_steps(field, plane):
    with pytest.raises(NotFittedError):
        StepSelectionDisplay.from_estimator(quadratic())
    with pytest.raises(InputError, match="held-out errors of sets of steps"):
        StepSelectionDisplay({}, [1])
    with pytest.raises(InputError, match="selected set that is one of those tried"):
        StepSelectionDisplay({"1": 0.1}, [2])
    with pytest.raises(InputError, match="n_sets"):
        StepSelectionDisplay({"1": 0.1}, [1], n_sets=0)
    with pytest.raises(InputError, match="pair of axes"):
        StepSelectionDisplay.from_estimator(field[0], ax=plt.subplots()[1])


# ---- speed ------------------------------------------------------------------------------------------------------


def table_of(errors, seconds, tol, fit_seconds=60.0):
    """As `speedup` gives it; the surrogate is the last row."""
    names = [f"step {i}" for i in range(len(errors) - 1)] + ["surrogate"]
    table = pd.DataFrame({"error": errors, "seconds": seconds}, index=names)
    table["good_enough"] = table["error"] <= tol
    rivals = table["seconds"][:-1][table["good_enough"][:-1]]
    saved = (rivals.min() if len(rivals) else np.nan) - seconds[-1]
    pays = table["good_enough"].iloc[-1] and saved > 0
    nothing = [np.nan] * (len(errors) - 1)
    table["speedup"] = [*nothing, (saved + seconds[-1]) / seconds[-1]]
    table["runs_to_pay"] = [*nothing, fit_seconds / saved if pays else np.inf]
    table.attrs = {"tol": tol, "n_trajectories": 100, "fit_seconds": fit_seconds}
    return table


def test_a_surrogate_that_pays_says_when():
    display = SpeedAccuracyDisplay.from_table(table_of([0, 0.001, 0.3, 0.01], [8.0, 2.0, 0.1, 0.5], tol=0.02))
    assert display.cheapest_ == "step 1"  # step 2 is cheaper and not accurate enough
    assert '4.0 times as fast as "step 1"' in display.sentence_
    assert "60 s has paid after 40 runs of 100 trajectories" in display.sentence_  # 60 s / (2.0 s - 0.5 s)
    assert display.ax_.get_title(loc="left").replace("\n", " ") == display.sentence_


def test_a_surrogate_that_is_slower_or_wrong_never_pays():
    slow = SpeedAccuracyDisplay(table_of([0, 0.001, 0.01], [8.0, 0.5, 10.0], tol=0.02))
    assert '20 times as long as "step 1"' in slow.sentence_
    assert "never pays" in slow.sentence_
    wrong = SpeedAccuracyDisplay(table_of([0, 0.001, 0.3], [8.0, 0.5, 0.001], tol=0.02))
    assert "not accurate enough" in wrong.sentence_
    assert "0.3" in wrong.sentence_
    assert "never pays" in wrong.sentence_
    alone = SpeedAccuracyDisplay(table_of([np.inf, 0.01], [8.0, 0.5], tol=0.02))
    assert alone.cheapest_ is None
    assert "No solver is accurate enough" in alone.sentence_


def test_each_row_is_a_point_with_its_name():
    table = table_of([0, 0.001, np.inf, 0.3, 0.01], [8.0, 2.0, 0.01, 0.1, 0.5], tol=0.02)
    display = SpeedAccuracyDisplay.from_table(table)
    ax = display.ax_
    assert ax.get_xscale() == ax.get_yscale() == "log"
    points = {text.get_text(): text.xy for text in ax.texts[1:]}
    assert set(points) == {"step 0 (error 0)", "step 1", "step 2 (fails)", "step 3", "surrogate"}
    for name, (x, y) in points.items():
        row = table.loc[name.split(" (")[0]]
        assert y == row["seconds"]
        if np.isfinite(row["error"]) and row["error"] > 0:
            assert x == row["error"]
    assert points["step 0 (error 0)"][0] < 0.001
    assert points["step 2 (fails)"][0] > 0.3
    colors = [to_hex(line.get_color()) for line in ax.lines[1:]]
    assert colors == [ACCENT, ACCENT, MUTED, MUTED, TRUTH]
    assert ax.lines[0].get_xdata()[0] == 0.02
    assert ax.texts[0].get_text() == "tolerance 0.02"


def test_a_tolerance_that_was_not_given_is_said_to_be_the_surrogates():
    display = SpeedAccuracyDisplay.from_table(table_of([0, 0.01], [8.0, 0.5], tol=0.01))
    assert "the surrogate's own" in display.ax_.texts[0].get_text()


@pytest.mark.parametrize("size", [(6.4, 4.8), (10, 7)])
@pytest.mark.parametrize("seed", range(5))
def test_names_of_points_do_not_stand_on_each_other(size, seed):
    rng = np.random.default_rng(seed)
    errors = [0, *10 ** rng.uniform(-4, 0, 5), np.inf, 0.01]
    ax = plt.subplots(figsize=size, layout="constrained")[1]
    SpeedAccuracyDisplay.from_table(table_of(errors, 10 ** rng.uniform(-2, 1, 8), tol=0.02), ax=ax)
    ax.figure.draw_without_rendering()
    assert not overlap([*ax.texts, ax._left_title])
    inside = ax.get_window_extent()
    for text in ax.texts:
        box = text.get_window_extent()
        assert inside.contains(*box.min)
        assert inside.contains(*box.max)


def test_what_is_measured_is_drawn(field):
    model, X = field
    solvers = {f"step {h:g}": kuramoto_sivashinsky_solver(h) for h in (0.05, 0.25)}
    figure, ax = plt.subplots()
    display = SpeedAccuracyDisplay.from_estimator(model, solvers, X[5, ::100], 5.0, tol=0.5, ax=ax)
    assert display.figure_ is figure
    assert list(display.table.index) == ["step 0.05", "step 0.25", "surrogate"]
    assert display.tol_ == 0.5
    true = solvers["step 0.05"](X[5, ::100], DT, 20)
    for name, found in (
        ("surrogate", model.simulate(X[5, ::100], 20)),
        ("step 0.25", solvers["step 0.25"](X[5, ::100], DT, 20)),
    ):
        error = np.sqrt(np.mean((found - true) ** 2) / true.var(axis=(0, 1)).mean())
        assert display.table.loc[name, "error"] == pytest.approx(error, rel=1e-4)
        drawn = next(text.xy[0] for text in ax.texts if text.get_text() == name)
        assert drawn == pytest.approx(error, rel=1e-4)
    assert "5 trajectories" in ax.get_ylabel()


def test_refusals_of_speed(field):
    table = table_of([0, 0.01], [8.0, 0.5], tol=0.01)
    for wrong, missing in (
        (table.drop(columns="speedup"), "without speedup"),
        (table.drop(index="surrogate"), "without row 'surrogate'"),
        (pd.DataFrame(table.to_dict()), r"without attrs\['tol'\]"),
        ([1, 2], "list without error"),
    ):
        with pytest.raises(InputError, match=f"the table of speedup.*{missing}"):
            SpeedAccuracyDisplay.from_table(wrong)
    model, X = field
    with pytest.raises(InputError, match="horizon"):
        SpeedAccuracyDisplay.from_estimator(model, kuramoto_sivashinsky_solver(), X[5, :1], 0.0)
    with pytest.raises(NotFittedError):
        SpeedAccuracyDisplay.from_estimator(quadratic(), kuramoto_sivashinsky_solver(), X[5, :1], 5.0)
