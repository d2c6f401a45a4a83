"""Forest tables against scikit-learn, leave-one-out predictions against refits."""

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix
from sklearn.datasets import load_iris, make_regression
from sklearn.ensemble import ExtraTreesRegressor

from skts.jointebm.experts import Forest, KernelRidge, fit_experts, fit_forest, fit_kernel_ridge
from skts.jointebm.spaces import LabelSets


@pytest.fixture(scope="module")
def table():
    X, Y = make_regression(70, 5, n_targets=3, random_state=0)
    return X.astype(np.float32), (np.sign(Y) + 1) / 2


def sizes(buffers):
    return (len(buffers["roots"]), len(buffers["feature"]), *buffers["values"].shape)


@pytest.mark.parametrize("sparse", [False, True])
def test_forest_tables_predict_what_scikit_learn_predicts(table, sparse):
    X, Y = table
    rows = csr_matrix(X) if sparse else X
    fit = fit_forest(rows, Y, None, n_trees=12, seed=3)
    forest = Forest(*sizes(fit.buffers))
    forest.load_state_dict(fit.buffers)
    reference = ExtraTreesRegressor(12, max_features="sqrt", bootstrap=True, random_state=3).fit(rows, Y)
    new = np.concatenate([X, X + np.float32(0.37)])
    np.testing.assert_allclose(forest(torch.from_numpy(new)).numpy(), reference.predict(new), atol=1e-6)


def test_forest_held_out_votes_are_out_of_bag(table):
    X, Y = table
    reference = ExtraTreesRegressor(40, max_features="sqrt", bootstrap=True, oob_score=True, random_state=3).fit(X, Y)
    np.testing.assert_allclose(fit_forest(X, Y, None, 40, 3).held_out, reference.oob_prediction_, atol=1e-6)


def test_kernel_leave_one_out_equals_refits(table):
    """By the formula, and by fitting without the row with the same landmarks, width and ridge."""
    X, Y = table
    center, scale = torch.zeros(5), torch.ones(5)
    weight = np.linspace(0.5, 2, len(X)).astype(np.float32)
    fit = fit_kernel_ridge(X, center, scale, Y, weight, n_landmarks=30, seed=0)
    marks, width = fit.buffers["landmarks"].double(), fit.buffers["width"].double()
    X64, w = torch.from_numpy(X).double(), torch.from_numpy(weight).double()
    K = torch.exp(-torch.cdist(X64, marks).square() / width)
    between = torch.exp(-torch.cdist(marks, marks).square() / width)
    value, basis = torch.linalg.eigh(between)
    Phi = K @ (basis * value.rsqrt())
    centred = torch.from_numpy(Y - fit.buffers["intercept"].double().numpy())

    def refit(rows, ridge):
        A = Phi[rows].T @ (w[rows, None] * Phi[rows]) + ridge * torch.eye(Phi.shape[1]).double()
        return torch.linalg.solve(A, Phi[rows].T @ (w[rows, None] * centred[rows]))

    everything = torch.arange(len(X))
    fitted = KernelRidge(30, 5, 3)
    fitted.load_state_dict(fit.buffers)
    inside = fitted(torch.from_numpy(X)).double() - fit.buffers["intercept"]
    candidates = [10.0 ** (i / 2) for i in range(-6, 5)]
    ridge = min(candidates, key=lambda r: (Phi @ refit(everything, r) - inside).abs().max().item())
    for i in range(0, len(X), 7):
        rows = everything[everything != i]
        wanted = Phi[i] @ refit(rows, ridge) + fit.buffers["intercept"]
        np.testing.assert_allclose(fit.held_out[i], wanted.numpy(), atol=2e-3)


def test_far_from_everything_the_kernel_says_the_mean(table):
    X, Y = table
    fit = fit_kernel_ridge(X, torch.zeros(5), torch.ones(5), Y, None, 40, 0)
    module = KernelRidge(40, 5, 3)
    module.load_state_dict(fit.buffers)
    np.testing.assert_allclose(module(torch.full((1, 5), 1e4)).numpy()[0], Y.mean(0), atol=1e-5)


def test_held_out_predictions_are_honest():
    """On labels that are pure noise, held-out predictions do not know the training labels."""
    X = load_iris().data.astype(np.float32)
    Y = np.random.default_rng(0).integers(0, 2, (150, 2))
    rare = {"n_trees": 50, "n_landmarks": 100}
    fresh = fit_experts("stack", X, LabelSets(2), Y, None, None, rare, 0)
    for column in range(fresh.held_out.shape[1]):
        assert np.corrcoef(fresh.held_out[:, column], Y[:, column % 2])[0, 1] < 0.2


@pytest.mark.parametrize("sparse", [False, True])
def test_copies_of_a_row_do_not_tell_what_it_must_not_know(table, sparse):
    X, Y = table
    Y = Y[:, :2].astype(np.int64)
    rows = csr_matrix(X) if sparse else X
    rare = {"n_trees": 30, "n_landmarks": 100}
    once = fit_experts("stack", rows, LabelSets(2), Y, None, None, rare, 0)
    twice = (csr_matrix(np.r_[X, X]) if sparse else np.r_[X, X], np.r_[Y, Y])
    copied = fit_experts("stack", twice[0], LabelSets(2), twice[1], None, None, rare, 0)
    weighted = fit_experts("stack", rows, LabelSets(2), Y, None, np.full(len(X), 2, dtype=np.float32), rare, 0)
    np.testing.assert_allclose(copied.held_out[: len(X)], copied.held_out[len(X) :])
    np.testing.assert_allclose(copied.held_out[: len(X)], weighted.held_out, atol=1e-6)
    assert once.held_out.shape == weighted.held_out.shape


def test_sparse_and_dense_rows_give_the_same_experts():
    rng = np.random.default_rng(0)
    X = (rng.random((60, 8)) < 0.3).astype(np.float32)
    Y = (X[:, :2] > 0).astype(np.int64)
    fits = [
        fit_kernel_ridge(rows, torch.zeros(8), torch.ones(8), Y.astype(float), None, 40, 0)
        for rows in (X, csr_matrix(X))
    ]
    np.testing.assert_allclose(fits[0].held_out, fits[1].held_out, atol=1e-6)
