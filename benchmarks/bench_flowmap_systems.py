"""Rows of bench_flowmap.py: FitzHugh-Nagumo, five ordinary differential equations, a measured pendulum, learning on.

Each function gives one row, a dict of figures; ``GROUPS`` says which rows there are.
"""

import time
import warnings
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
from flowmap_peers import exact_dmd
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures, StandardScaler

from skts import FlowMapSimulator
from skts.datasets import fetch_double_pendulum, fitzhugh_nagumo_solver, make_fitzhugh_nagumo, make_hits_system
from skts.metrics import mean_normalised_absolute_difference, valid_prediction_time

Row = dict[str, Any]

# ---- FitzHugh-Nagumo ------------------------------------------------------------------------------------------------


@cache
def fhn(seed: int) -> np.ndarray:
    """Six trajectories of 8000 time units from random fronts."""
    return make_fitzhugh_nagumo(6, 8001, 1.0, random_state=seed)


FHN_SETTINGS: dict[str, dict[str, Any]] = {
    "defaults": {"n_components": 2},
    "polynomial": {"stepper": "polynomial", "module_kwargs": {"fields": 2}},
}


@cache
def fhn_model(seed: int, n_times: int, kind: str) -> tuple[FlowMapSimulator, float]:
    """Fitted to the first samples of five trajectories; and CPU seconds."""
    model = FlowMapSimulator(dt=1.0, validation_fraction=0.2, random_state=0, **FHN_SETTINGS[kind])
    start = time.process_time()
    model.fit(fhn(seed)[:5, :n_times])
    return model, time.process_time() - start


def fhn_row(seed: int, n_times: int, kind: str) -> Row:
    """The sixth trajectory over 8000 time units."""
    model, seconds = fhn_model(seed, n_times, kind)
    true = fhn(seed)[5]
    found, info = model.simulate(true[0], n_steps=8000, return_info=True)
    u, v = mean_normalised_absolute_difference(true[None], found, fields=2)
    extent = np.repeat([np.ptp(true[:, :101]), np.ptp(true[:, 101:])], 101)
    lost = (model.inverse_transform(model.transform(true)) - true) / extent
    chosen, later = list(model.selected_steps_), model.simulate(true[1000], n_steps=7000)
    singles = []
    for step in model.step_sizes_:
        model.selected_steps_ = [step]
        alone = model.simulate(true[0], n_steps=8000)
        singles.append(mean_normalised_absolute_difference(true[None], alone, fields=2)[0])
    model.selected_steps_ = chosen
    return {
        "MNAD u": u,
        "MNAD v": v,
        "u, best single": min(singles),
        "u, from 1000": mean_normalised_absolute_difference(true[None, 1000:], later, fields=2)[0],
        "reconstruction": np.square(lost).mean(),
        "steps": steps(model),
        "alarms": (info["status"] == "left").mean(),
        "fit s": seconds,
    }


def fhn_peer(seed: int, learn: Callable[..., Any]) -> Row:
    """A peer on the same first 451 samples of five trajectories."""
    X = fhn(seed)
    start = time.process_time()
    simulate = learn(X[:5, :451], 1.0)
    seconds = time.process_time() - start
    with np.errstate(all="ignore"):
        u, v = mean_normalised_absolute_difference(X[5:], simulate(X[5:, :1], 8000), fields=2)
    return {"MNAD u": u, "MNAD v": v, "fit s": seconds}


def fhn_solver_row(step: float) -> Row:
    """The solver itself with a longer step, against its step of 0.1."""
    true = fhn(0)[5:]
    u, v = mean_normalised_absolute_difference(true, fitzhugh_nagumo_solver(step)(true[:, 0], 1.0, 8000), fields=2)
    return {"MNAD u": u, "MNAD v": v}


def fhn_speed(n: int, horizon: float) -> Any:
    """The solver at several steps and the surrogate, from states along the held-out trajectory."""
    model, _ = fhn_model(0, 451, "polynomial")
    starts = fhn(0)[5, np.linspace(0, 7000, n).astype(int)]
    solvers = {f"solver, step {1 / k:.3g}": fitzhugh_nagumo_solver(1 / k) for k in (10, 8, 5, 4, 3, 2)}
    return model.speedup(solvers, starts, horizon)


def online_row(kind: str, told: bool) -> Row:
    """A model of one slow rate goes on to learn from trajectories of another one; 1000 time units of each."""
    rates = (0.006, 0.0065)
    old, new = (make_fitzhugh_nagumo(6, 1451, 1.0, epsilon=e, random_state=k) for k, e in enumerate(rates))
    model = FlowMapSimulator(dt=1.0, validation_fraction=0.2, random_state=0, **FHN_SETTINGS[kind])

    def params(rate: float, n: int) -> np.ndarray | None:
        return np.full((n, 1), rate) if told else None

    def errors() -> list[float]:
        pairs = [
            (X, model.simulate(X[5:, 451], n_steps=999, params=params(e, 1)))
            for X, e in zip((old, new), rates, strict=True)
        ]
        return [float(mean_normalised_absolute_difference(X[5:, 451:], f, fields=2).mean()) for X, f in pairs]

    model.fit(old[:5, :451], params=params(rates[0], 5))
    before = errors()
    start = time.process_time()
    model.partial_fit(new[:5, :451], params=params(rates[1], 5))
    seconds, after = time.process_time() - start, errors()
    return {
        "old before": before[0],
        "old after": after[0],
        "new before": before[1],
        "new after": after[1],
        "undone": model.n_rollbacks_,
        "update s": seconds,
    }


# ---- ordinary differential equations --------------------------------------------------------------------------------

PUBLISHED = {"hyperbolic": 5.1e-8, "cubic": 2.0e-4, "van_der_pol": 3.2e-3, "hopf": 4.1e-5}


def ode_row(name: str) -> Row:
    """The steps that validation has chosen, beside the best single one on test data, which no one may choose by."""
    X = make_hits_system(name, 400, 5121, random_state=0)
    train, test = X[:340], X[340:]
    if name == "van_der_pol":
        test = test[np.abs(test[:, 0, 1]) < 2]  # where Liu et al. test
    model, seconds = fitted(train, 0.01)
    chosen, all_steps = list(model.selected_steps_), steps(model)

    def error(sizes: list[int]) -> float:
        model.selected_steps_ = sizes
        return float(np.square(model.simulate(test[:, 0], n_steps=test.shape[1] - 1) - test).mean())

    own, single = error(chosen), min(error([s]) for s in model.step_sizes_)
    return {
        "MSE": own,
        "best single": single,
        "ratio": own / single,
        "published": PUBLISHED[name],
        "steps": all_steps,
        "fit s": seconds,
    }


def lorenz_row() -> Row:
    """Sampled as by Liu et al.; judged by how long it is foreseen, which a mean square over chaos cannot say."""
    dt, lyapunov_time, every = 0.0005, 1 / 0.9056, 20
    train = make_hits_system("lorenz", 340, 5121, dt, random_state=0)
    true = make_hits_system("lorenz", 60, 2001, dt * every, random_state=1)
    model, seconds = fitted(train, dt)
    found = model.simulate(true[:, 0], times=dt * every * np.arange(2001))
    spread = train.std(axis=(0, 1))
    vpt = valid_prediction_time(true, found, dt=dt * every, scale=spread, time_unit=lyapunov_time)
    return {"VPT median": np.median(vpt), "VPT mean": vpt.mean(), "steps": steps(model), "fit s": seconds}


def fitted(train: Any, dt: float, **settings: Any) -> tuple[FlowMapSimulator, float]:
    """A model and its CPU seconds."""
    start = time.process_time()
    model = FlowMapSimulator(dt=dt, random_state=0, **settings).fit(train)
    return model, time.process_time() - start


def steps(model: FlowMapSimulator) -> str:
    """Steps that were chosen."""
    return " ".join(map(str, model.selected_steps_))


# ---- measured double pendulum ---------------------------------------------------------------------------------------

HORIZONS = {"0.1 s": 10, "0.3 s": 30, "1 s": 100}


@cache
def pendulum() -> tuple[list[np.ndarray], np.ndarray]:
    """Training records at 10 ms, and windows of a second from the held-out ones."""
    bunch = fetch_double_pendulum()
    records = [states[::10].astype(float) for states in bunch.data]
    windows = [records[i][t : t + 101] for i in bunch.test for t in range(0, 160, 20)]
    return [records[i] for i in bunch.train], np.stack(windows)


def with_circles(states: np.ndarray) -> np.ndarray:
    """Sine and cosine of the angles, which hang down at pi, and the velocities."""
    angles = states[:, :2] - np.pi
    return np.concatenate([np.sin(angles), np.cos(angles), states[:, 2:]], 1)


def from_circles(circles: np.ndarray) -> np.ndarray:
    """Back; no record holds a whole turn."""
    return np.concatenate([np.pi + np.arctan2(circles[:, :2], circles[:, 2:4]), circles[:, 4:]], 1)


def pendulum_row(**settings: Any) -> Row:
    """One simulator."""
    train, true = pendulum()
    model, seconds = fitted(train, 0.01, **settings)
    found, info = model.simulate(true[:, 0], n_steps=100, return_info=True)
    return {
        **pendulum_scores(found),
        "steps": steps(model),
        "alarms": (info["status"] == "left").mean(),
        "fit s": seconds,
    }


def pendulum_peer(kind: str) -> Row:
    """Persistence, or a ridge regression of what changes in a step on polynomials of the state."""
    train, true = pendulum()
    start = time.process_time()
    library = with_circles if kind == "trigonometric ridge" else (lambda states: states)
    degree = 3 if kind == "trigonometric ridge" else 1
    model = make_pipeline(PolynomialFeatures(degree), StandardScaler(), RidgeCV(np.logspace(-8, 0, 9)))
    unit = np.concatenate(train).std(0)
    rows = np.concatenate([library(states[:-1]) for states in train])
    model.fit(rows, np.concatenate([np.diff(states, axis=0) for states in train]) / unit)
    seconds = time.process_time() - start
    found = [true[:, 0]]
    for _ in range(100):
        change = 0.0 if kind == "persistence" else model.predict(library(found[-1])) * unit
        found.append(found[-1] + change)
    return {**pendulum_scores(np.stack(found, 1)), "fit s": 0.0 if kind == "persistence" else seconds}


def pendulum_scores(found: np.ndarray) -> Row:
    """Root mean square errors in spreads of the held-out windows."""
    _, true = pendulum()
    gap = np.square((found - true) / true.std(axis=(0, 1)))
    return {name: np.sqrt(gap[:, at].mean()) for name, at in HORIZONS.items()}


CIRCLES = FunctionTransformer(with_circles, from_circles)
TABLES = {
    "fhn": "FitzHugh-Nagumo over 8000 time units",
    "fhn speed": "FitzHugh-Nagumo: solver and surrogate",
    "odes": "Five ordinary differential equations",
    "pendulum": "Measured double pendulum",
    "online": "Learning on",
}
GROUPS: dict[str, dict[str, Callable[[], Any]]] = {
    "pendulum": {
        **{kind: partial(pendulum_peer, kind) for kind in ("persistence", "linear map", "trigonometric ridge")},
        "defaults": pendulum_row,
        "sines and cosines": partial(pendulum_row, coordinates=CIRCLES),
    },
    "online": {
        f"{kind}, rate {'told' if told else 'not told'}": partial(online_row, kind, told)
        for kind in FHN_SETTINGS
        for told in (True, False)
    },
    "fhn": {
        **{f"solver, step {s:g}": partial(fhn_solver_row, s) for s in (0.25, 0.5)},
        **{f"exact DMD, seed {s}": partial(fhn_peer, s, exact_dmd) for s in (0,)},
        **{
            f"{kind}, 5 x {n}, seed {s}": partial(fhn_row, s, n, kind)
            for kind in FHN_SETTINGS
            for n in (451, 5000)
            for s in range(3)
        },
    },
    "fhn speed": {
        "1 trajectory, 8000 time units": partial(fhn_speed, 1, 8000.0),
        "100 trajectories, 1000 time units": partial(fhn_speed, 100, 1000.0),
    },
    "odes": {**{name: partial(ode_row, name) for name in PUBLISHED}, "lorenz": lorenz_row},
}
warnings.simplefilter("ignore", UserWarning)
