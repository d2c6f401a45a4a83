"""Four small estimators, the example that the families follow: what a module needs to become an estimator."""

from numbers import Integral

import numpy as np
import torch
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    DensityMixin,
    RegressorMixin,
    TransformerMixin,
)
from sklearn.utils._param_validation import Interval
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted
from torch import nn
from torch.nn import functional as F

from skts.base import TorchEstimatorMixin
from skts.engine import ArrayBatches
from skts.validation import check_table, check_weights


class TorchEstimator(TorchEstimatorMixin, BaseEstimator):
    """What the four have in common: standardised input, one hidden layer, the shared parameters."""

    def __init__(
        self,
        hidden=16,
        max_epochs=20,
        batch_size=16,
        lr=0.02,
        validation_fraction=0.0,
        patience=None,
        max_time=None,
        device="auto",
        random_state=None,
        verbose=0,
        warm_start=False,
        callbacks=None,
        net_kwargs=None,
    ):
        self.hidden = hidden
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.max_time = max_time
        self.device = device
        self.random_state = random_state
        self.verbose = verbose
        self.warm_start = warm_start
        self.callbacks = callbacks
        self.net_kwargs = net_kwargs

    _parameter_constraints = {"hidden": [Interval(Integral, 1, None, closed="left")]}  # noqa: RUF012

    def fit(self, X, y=None):
        return self._fit_torch(X, y)

    def _scaled(self, X, reset):
        if reset:
            self.mean_, self.scale_ = X.mean(0, dtype=np.float64), X.std(0, dtype=np.float64) + 1e-8
        return ((X - self.mean_) / self.scale_).astype(X.dtype)

    def _build(self, n_in, n_out):
        return nn.Sequential(nn.Linear(n_in, self.hidden), nn.Tanh(), nn.Linear(self.hidden, n_out))


class SmallClassifier(ClassifierMixin, TorchEstimator):
    def fit(self, X, y, sample_weight=None):
        return self._fit_torch(X, y, sample_weight)

    def _describe(self, X, y, sample_weight):
        X, y = check_table(self, X, y)
        check_classification_targets(y)
        weights = check_weights(sample_weight, X)
        self.classes_, codes = np.unique(y, return_inverse=True)
        self.module_config_ = {"n_in": X.shape[1], "n_out": len(self.classes_)}
        return ArrayBatches.of(self._scaled(X, reset=True), codes, sample_weight=weights)

    def _loss(self, module, X, y):
        return F.cross_entropy(module(X), y, reduction="none")

    def predict_proba(self, X):
        check_is_fitted(self)
        X = self._scaled(check_table(self, X, reset=False), reset=False)
        return self._forward(X, call=lambda module, X: module(X).softmax(-1)).numpy()

    def predict(self, X):
        check_is_fitted(self)
        return self.classes_[self.predict_proba(X).argmax(1)]


class SmallRegressor(RegressorMixin, TorchEstimator):
    def _describe(self, X, y):
        X, y = check_table(self, X, y, y_numeric=True, multi_output=True)
        self.one_output_ = y.ndim == 1
        Y = y.reshape(len(y), -1).astype(np.float64)
        self.y_mean_, self.y_scale_ = Y.mean(0), Y.std(0) + 1e-8
        self.module_config_ = {"n_in": X.shape[1], "n_out": Y.shape[1]}
        target = ((Y - self.y_mean_) / self.y_scale_).astype(np.float32)
        return ArrayBatches.of(self._scaled(X, reset=True), target)

    def _loss(self, module, X, Y):
        return (module(X) - Y).square().mean(1)

    def predict(self, X):
        check_is_fitted(self)
        X = check_table(self, X, reset=False, dtype=[np.float64, np.float32])
        Y = self._forward(self._scaled(X, reset=False), double=X.dtype == np.float64).numpy()
        Y = (Y * self.y_scale_ + self.y_mean_).astype(X.dtype)
        return Y[:, 0] if self.one_output_ else Y

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


class SmallTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, TorchEstimator):
    """An autoencoder."""

    def _describe(self, X, y):
        X = check_table(self, X)
        self.module_config_ = {"n_in": X.shape[1], "n_out": X.shape[1]}
        return ArrayBatches.of(self._scaled(X, reset=True))

    def _loss(self, module, X):
        return (module(X) - X).square().mean(1)

    def transform(self, X):
        check_is_fitted(self)
        X = self._scaled(check_table(self, X, reset=False), reset=False)
        return self._forward(X, call=lambda module, X: module[:2](X)).numpy()

    @property
    def _n_features_out(self):
        return self.hidden

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


class SmallDensity(DensityMixin, TorchEstimator):
    """Independent Gaussians whose parameters are a network's biases: small, and still a density."""

    def _describe(self, X, y):
        X = check_table(self, X)
        self.module_config_ = {"n_in": X.shape[1], "n_out": 2 * X.shape[1]}
        return ArrayBatches.of(self._scaled(X, reset=True))

    def _log_density(self, module, X):
        mean, log_scale = module(torch.zeros_like(X)).chunk(2, dim=1)
        return torch.distributions.Normal(mean, log_scale.exp()).log_prob(X).sum(1)

    def _loss(self, module, X):
        return -self._log_density(module, X)

    def score_samples(self, X):
        check_is_fitted(self)
        X = self._scaled(check_table(self, X, reset=False), reset=False)
        log_density = self._forward(X, call=self._log_density).numpy()
        return log_density - np.float32(np.log(self.scale_).sum())

    def score(self, X, y=None):
        return self.score_samples(X).mean()


SMALL = [SmallClassifier, SmallRegressor, SmallTransformer, SmallDensity]
