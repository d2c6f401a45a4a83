"""FractalSampler: the recursive density of :mod:`skts.fractal.module` as a scikit-learn estimator."""

from numbers import Integral, Real
from os import PathLike
from typing import Any, ClassVar, Self

from sklearn.base import BaseEstimator, DensityMixin
from sklearn.utils._param_validation import Interval, StrOptions

from skts.fractal.baselines import baselines_for
from skts.fractal.fitting import FractalFitting
from skts.fractal.queries import FractalQueries

__all__ = ["FractalSampler"]


class FractalSampler(FractalQueries, DensityMixin, FractalFitting, BaseEstimator):
    r"""Exact densities and samples for tables, series and images, from one small generator called on itself.

    Use it to score how likely a row, a window or a picture is (and which of its numbers is odd), to draw new ones, to
    fill in what is missing, or to classify by densities. Columns may be categories, whole numbers, real numbers or any
    mixture of them.

    Parameters
    ----------
    layout : {"auto", "table", "series", "image"}, default="auto"
        What X is: "table" (n, d), "series" (n, T, C), "image" (n, H, W) or (n, H, W, C). "auto" takes 2-D as table and
        3-D as series.
    generator : {"ar", "mar", "made"}, class, list of these or None, default="ar"
        The part that is called at each level of the tree, one for all or one for each level. "ar" is a causal
        transformer. "mar" is one that knows several orders of the children (``module_kwargs["n_orders"]``), a density
        is their mean. "made" is a masked network, for nodes of few small children. A class of your own: see
        :class:`~skts.fractal.generators.Generator`. None leaves the closed-form mixture alone.
    leaf : {"auto", "categorical", "ordinal", "mix", "bins"} or list of these, default="auto"
        What a column holds, one for all or one for each column. "ordinal": whole numbers, all between the least and
        the greatest are possible. "mix": real numbers, by a mixture of normal distributions. "bins": real numbers, by
        bins with exponential tails, where some values occur again and again. "auto": categories for words, ordinal for
        whole numbers of a range below 256, "bins" where one value holds more than a twentieth, else "mix".
    scaling : {"auto", "standard", "normal"}, default="auto"
        What numbers of "mix" columns go through first. "standard": mean 0, deviation 1. "normal": also a monotone
        curve after which each column looks normal, for skewed columns and for those with bounds; densities take its
        slope into account. "auto": "standard" for series and images, and for a table what makes held-out rows likelier
        under the mixture.
    ordering : {"auto", "given", "random"} or array-like of shape (d,), default="auto"
        Order of the columns of a table. "auto" puts those that depend on each other close together.
    splits : "auto" or list of int, default="auto"
        Children of a node, level by level, the widest level first. For a series they split time; for an image each is
        the side of a square of children; channels are the last level.
    dims : "auto", int or list of int, default="auto"
        Width of each level; multiples of 32 use whole attention heads. "auto": 64 for one level, else 128, 64, 32.
    depths : "auto", int or list of int, default="auto"
        Layers of each level. "auto": 2 for one level, else 3, 2, 1.
    mixture : "auto", int or None, default="auto"
        Components of the closed-form mixture (trees of the discrete columns, Gaussians of the real ones) that the
        network starts from and corrects; with codes of images it is blended after training instead. "auto" adds
        components as long as held-out rows gain, and takes none for "mar", which knows no single order. None: columns
        that do not depend on each other.
    mask_rate : float in [0, 1), default=0.0
        Part of the numbers that training hides from the network, so that it knows what to do where values are missing.
        With 0 and no missing value in fit, densities of incomplete rows that cannot be summed over what is missing
        are estimated by particles instead.
    weights : str or path, default=None
        A safetensors file with a network of the paper
        (:func:`~skts.fractal.paper.convert_paper` makes one from a released .pth file). ``fit`` then trains nothing
        and holds X, images (n, S, S, 3) of 0 .. 255, against it; densities are those without a class.
    module_kwargs : dict or None, default=None
        Rare settings: dropout (0.1), label_drop (part of the rows that training shows without their class, 0.1),
        n_bins (of "bins", 64), n_orders (of "mar", 4).
    max_epochs : int, default=30
        Passes over the training rows at the most.
    batch_size : int, default=64
        Rows of one step.
    lr : float, default=0.002
        Highest learning rate.
    validation_fraction : float in [0, 1), default=0.1
        Part of the rows that chooses the mixture and stops the training.
    patience : int or None, default=5
        Epochs without a better validation likelihood before training stops.
    max_time : float or None, default=None
        Wall seconds after which training stops, with a warning; the mixture is always fitted whole.
    device : str, default="auto"
        "auto", "cpu", "cuda", "cuda:1", "mps"; samples are drawn on the CPU.
    random_state : int, RandomState or None, default=None
        Seed of mixture, weights and batches.
    verbose : int, default=0
        1 prints a line for each epoch.
    warm_start : bool, default=False
        Start ``fit`` from the weights of the last one, with as many components.
    callbacks : list or None, default=None
        skorch callbacks; they are cloned.
    net_kwargs : dict or None, default=None
        Rare settings of the training: optimizer, weight_decay, schedule, clip_norm, precision; see
        :class:`~skts.engine.TrainSettings`.

    Attributes
    ----------
    layout_ : str
        What X was taken as.
    shape_ : tuple of int
        Shape of one sample.
    ordering_ : numpy.ndarray of shape (d,) or None
        Columns of a table as the tree visits them.
    splits_ : list of int
        Children of a node, level by level.
    blocks_ : numpy.ndarray of int
        For each number of a sample, in its shape, the child of the tree's root that it belongs to, as they are visited.
    n_components_ : int
        Components of the mixture.
    mixture_score_ : float
        Mean log-density of the held-out rows under the mixture alone, nats.
    scaling_ : str
        The scaling in use.
    level_nll_ : dict of int to float
        Mean surprise of the held-out rows, nats for each number, at those that open a node of each level: what the
        network knows least about shows here first.
    classes_ : numpy.ndarray of shape (n_classes,)
        Classes, where fit was given y.
    class_prior_ : numpy.ndarray of shape (n_classes,)
        Their frequencies.
    knows_missing_ : bool
        Whether training has seen missing values.
    container_, columns_ : dict
        What is needed to read X and to give the like back; how its columns become codes.
    module_ : FractalNet
        The network.
    history_ : list of dict
        One row for each epoch.
    n_iter_ : int
        Number of epochs.
    stopped_by_ : str
        "max_epochs", "patience", "max_time", "callback", "interrupt" or "divergence".
    device_ : str
        Where it was trained.
    cost_ : dict
        fit_seconds, cpu_seconds, peak_memory_mb, n_parameters.
    n_features_in_ : int
        Numbers of a sample.
    feature_names_in_ : numpy.ndarray
        Names of the columns, where X had some.

    Notes
    -----
    The numbers of a sample stand at the leaves of a tree. At a node with condition c the generator g of its level gives
    each child j a condition :math:`c_j = g(c, e(x_1), \dots, e(x_{j-1}))` from the contents of the children before it;
    a leaf's condition gives the distribution of its number. So

    .. math:: \log p(x) = \sum_s \log p(x_s \mid c_s(x_1, \dots, x_{s-1})),

    and with x given all levels run in parallel.

    The leaves start at the conditionals of a mixture fitted by expectation-maximisation, which are known in closed
    form (in wide real rows a number depends, within a component, on a few before it alone, where held-out rows gain by
    that: :mod:`skts.fractal.numbers`), and the network learns what to add to their logits (weights, means and
    deviations for real numbers). In training it is shown what mixtures say that were fitted without the row at hand.
    The first model therefore is the mixture, and weights that are worse on held-out rows are never kept. For the
    discrete pixels of images the network learns alone, and its probabilities are then averaged with those of the
    mixture, weighted by held-out likelihood.
    The paper has no such start, and its leaves are pixels; the networks of the paper are in
    :mod:`skts.fractal.paper`.

    ``sample`` and ``score_samples`` agree: likelihoods are exact, not bounds. A high density is not yet a typical
    sample; simple inputs often have higher densities than the data themselves.

    References
    ----------
    T. Li, Q. Sun, L. Fan, K. He: Fractal Generative Models, 2025, https://arxiv.org/abs/2502.17437.

    Examples
    --------
    >>> import numpy as np
    >>> from skts import FractalSampler
    >>> rng = np.random.default_rng(0)
    >>> X = rng.integers(0, 3, size=(200, 4))
    >>> X[:, 3] = X[:, 0]  # the last column repeats the first
    >>> model = FractalSampler(max_epochs=2, random_state=0).fit(X)
    >>> model.sample(2, random_state=0).shape
    (2, 4)
    >>> filled = model.impute(np.array([[2, 1, 0, np.nan]]), random_state=0)
    >>> int(filled[0, 3])
    2
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "layout": [StrOptions({"auto", "table", "series", "image"})],
        "generator": [str, list, tuple, callable, None],
        "leaf": [str, list, tuple],
        "scaling": [StrOptions({"auto", "standard", "normal"})],
        "ordering": [StrOptions({"auto", "given", "random"}), "array-like"],
        "splits": [StrOptions({"auto"}), list, tuple],
        "dims": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left"), list, tuple],
        "depths": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left"), list, tuple],
        "mixture": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left"), None],
        "mask_rate": [Interval(Real, 0, 1, closed="left")],
        "weights": [str, PathLike, None],
        "module_kwargs": [dict, None],
    }

    def __init__(
        self,
        layout: str = "auto",
        generator: Any = "ar",
        leaf: Any = "auto",
        scaling: str = "auto",
        ordering: Any = "auto",
        splits: Any = "auto",
        dims: Any = "auto",
        depths: Any = "auto",
        mixture: Any = "auto",
        mask_rate: float = 0.0,
        weights: Any = None,
        module_kwargs: dict[str, Any] | None = None,
        max_epochs: int = 30,
        batch_size: int = 64,
        lr: float = 2e-3,
        validation_fraction: float = 0.1,
        patience: int | None = 5,
        max_time: float | None = None,
        device: str = "auto",
        random_state: Any = None,
        verbose: int = 0,
        warm_start: bool = False,
        callbacks: list[Any] | None = None,
        net_kwargs: dict[str, Any] | None = None,
    ) -> None:
        self.layout = layout
        self.generator = generator
        self.leaf = leaf
        self.scaling = scaling
        self.ordering = ordering
        self.splits = splits
        self.dims = dims
        self.depths = depths
        self.mixture = mixture
        self.mask_rate = mask_rate
        self.weights = weights
        self.module_kwargs = module_kwargs
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

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Learn the density of X, or with classes the density within each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples, NaN where missing. Columns of a frame may hold words.
        y : array-like of shape (n_samples,), optional
            Classes. What is no classes (a continuous target) is ignored.
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the samples.

        Returns
        -------
        FractalSampler
            The estimator itself.

        Raises
        ------
        InputError
            If X is empty, infinite, not numeric (and no frame), or its rank does not fit the layout.
        ParameterError
            If parameters contradict each other or the data.
        """
        return self._fit_torch(X, y, sample_weight)

    def baselines(self) -> dict[str, Any]:
        """The simple estimators to hold this one against, on the same scale.

        Returns
        -------
        dict of str to estimator
            Unfitted, by name.
        """
        return baselines_for(self)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.three_d_array = True
        return tags
