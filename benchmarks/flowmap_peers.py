"""What FlowMapSimulator is held against: persistence, linear maps, an echo-state network, PySINDy.

Every peer is a function that learns from trajectories (n, T, d) and gives ``simulate(past, n_steps)``, which takes the
true past (n, w, d) of each start, the start last, and gives states (n, n_steps + 1, d). PySINDy and PyDMD are used
where they are installed.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse

Simulate = Callable[[np.ndarray, int], np.ndarray]


def persistence(train: np.ndarray, dt: float) -> Simulate:
    """The state stays as it is."""
    return lambda past, n_steps: np.repeat(past[:, -1:], n_steps + 1, 1)


def exact_dmd(train: np.ndarray, dt: float, rank: int = 24) -> Simulate:
    """Exact dynamic mode decomposition: the linear map between snapshots on their leading singular vectors."""
    before, after = train[:, :-1].reshape(-1, train.shape[2]), train[:, 1:].reshape(-1, train.shape[2])
    basis = np.linalg.svd(before.T @ before)[0][:, :rank]
    reduced = np.linalg.lstsq(before @ basis, after @ basis, rcond=None)[0]
    return _iterated(lambda x: x @ basis @ reduced @ basis.T)


def pydmd(train: np.ndarray, dt: float, rank: int = 24) -> Simulate:
    """The same by PyDMD, which takes one record: trajectories follow each other, with a join between them."""
    from pydmd import DMD

    X, Y = (part.reshape(-1, train.shape[2]).T for part in (train[:, :-1], train[:, 1:]))
    model = DMD(svd_rank=rank, exact=True)
    model.fit(X, Y)
    modes, inverse = model.modes, np.linalg.pinv(model.modes)
    step = (modes @ np.diag(model.eigs) @ inverse).real.T
    return _iterated(lambda x: x @ step)


def echo_state_network(train: np.ndarray, dt: float, n_units: int = 2000, n_train: int = 40) -> Simulate:
    """An echo-state network, its settings chosen on eight training trajectories that its read-out has not seen."""
    some, held_out = train[:n_train], train[n_train : n_train + 8]
    warm, n_steps = 100, 240
    best: tuple[float, Any] = (np.inf, None)
    for settings in [(0.3, 0.15), (0.7, 0.15), (0.3, 0.05), (0.7, 0.05)]:
        for ridge in (1e-9, 1e-7):
            found = _reservoir(some[:16], n_units // 4, *settings, ridge)(held_out[:, : warm + 1], n_steps)
            gap = np.nan_to_num(found - held_out[:, warm : warm + n_steps + 1], nan=10.0).clip(-10, 10)
            error = np.sqrt(np.square(gap).mean(2)).clip(0, train.std()).mean()
            best = min(best, (error, (*settings, ridge)), key=lambda row: row[0])
    return _reservoir(some, n_units, *best[1])


def _reservoir(train: np.ndarray, n_units: int, radius: float, scale: float, ridge: float) -> Simulate:
    """Tanh units, ten random links each; the read-out sees every second unit squared (Pathak et al. 2018)."""
    rng, d, spread = np.random.default_rng(0), train.shape[2], train.std()
    links = sparse.random(
        n_units, n_units, density=10 / n_units, random_state=rng, data_rvs=rng.standard_normal
    ).tocsr()
    largest = np.abs(sparse.linalg.eigs(links, k=1, which="LM", return_eigenvectors=False, tol=1e-2)).max()
    links, inputs = links * (radius / largest), scale * rng.uniform(-1, 1, (n_units, d)) / spread

    def listen(r: np.ndarray, u: np.ndarray) -> np.ndarray:  # (units, n), (n, d) -> (units, n)
        return np.tanh(links @ r + inputs @ u.T)

    def features(r: np.ndarray) -> np.ndarray:
        seen = r.copy()
        seen[::2] **= 2
        return seen

    r, G, b = np.zeros((n_units, len(train))), np.zeros((n_units, n_units)), np.zeros((n_units, d))
    block: list[np.ndarray] = []
    for t in range(train.shape[1] - 1):
        r = listen(r, train[:, t])
        if t >= 50:
            block.append(features(r))
            b += block[-1] @ train[:, t + 1]
        if len(block) == 50 or t == train.shape[1] - 2:
            rows = np.concatenate(block, 1)
            G, block = G + rows @ rows.T, []
    readout = np.linalg.solve(G + ridge * np.trace(G) / n_units * np.eye(n_units), b)

    def simulate(past: np.ndarray, n_steps: int) -> np.ndarray:
        r = np.zeros((n_units, len(past)))
        for t in range(past.shape[1]):
            r = listen(r, past[:, t])
        found = [past[:, -1]]
        for _ in range(n_steps):
            found.append(features(r).T @ readout)
            r = listen(r, found[-1])
        return np.stack(found, 1)

    return simulate


def pysindy(train: np.ndarray, dt: float, n_components: int = 16) -> Simulate:
    """PySINDy with quadratic terms on principal components.

    Its own ``simulate`` takes one start at a time and does not end in a minute on this; so the equation that it has
    found is integrated for all starts together by Runge-Kutta.
    """
    import pysindy as ps
    from sklearn.decomposition import PCA

    pca = PCA(n_components).fit(train.reshape(-1, train.shape[2]))
    records = [pca.transform(states) for states in train]
    model = ps.SINDy(
        optimizer=ps.STLSQ(threshold=0.0, alpha=1e-6),
        feature_library=ps.PolynomialLibrary(degree=2),
        differentiation_method=ps.FiniteDifference(order=4),
    )
    model.fit(records, t=dt)
    coef, powers = model.coefficients(), model.feature_library.powers_

    def rate(z: np.ndarray) -> np.ndarray:
        return np.prod(z[:, None] ** powers[None], 2) @ coef.T

    def step(z: np.ndarray) -> np.ndarray:
        k1 = rate(z)
        k2 = rate(z + dt / 2 * k1)
        k3 = rate(z + dt / 2 * k2)
        return z + dt / 6 * (k1 + 2 * k2 + 2 * k3 + rate(z + dt * k3))

    def simulate(past: np.ndarray, n_steps: int) -> np.ndarray:
        latent = _iterated(step)(pca.transform(past[:, -1])[:, None], n_steps)
        return pca.inverse_transform(latent.reshape(-1, n_components)).reshape(*latent.shape[:2], -1)

    return simulate


def _iterated(step: Callable[[np.ndarray], np.ndarray]) -> Simulate:
    def simulate(past: np.ndarray, n_steps: int) -> np.ndarray:
        found = [past[:, -1]]
        for _ in range(n_steps):
            found.append(step(found[-1]))
        return np.stack(found, 1)

    return simulate
