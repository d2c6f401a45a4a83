"""MomentEmbedder: MOMENT's embeddings of time series as a scikit-learn transformer."""

import os
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted

from skts.engine import TrainSettings
from skts.engine.settings import PRECISIONS
from skts.errors import ParameterError
from skts.moment.batching import Runner
from skts.moment.checkpoint import SIZES
from skts.moment.features import Features
from skts.moment.fitting import MomentFitting
from skts.moment.module import MomentNet
from skts.moment.panel import Panel, as_panel
from skts.moment.preparation import PATCH, Recipe
from skts.moment.queries import MomentQueries
from skts.moment.readability import MomentReadability
from skts.moment.readout import POOLINGS, Readout
from skts.moment.tuning import OBJECTIVES, STRATEGIES

__all__ = ["MomentEmbedder"]

_POSITIONS = 5000  # rows of the released table of positions


class MomentEmbedder(MomentReadability, MomentQueries, TransformerMixin, MomentFitting, BaseEstimator):
    r"""Embed time series by the encoder of MOMENT, a transformer pre-trained to reconstruct masked patches.

    Use it for features of series that a simple classifier, a clustering or a map can work with, whatever their lengths,
    and to fill in or to judge values from their surroundings. Scale the features before a linear model.

    Parameters
    ----------
    weights : str, path or None, default=None
        Pre-trained weights: a folder with config.json and model.safetensors, a .safetensors file, or
        "hub:AutonLab/MOMENT-1-small" (also -base, -large, with "@REVISION"), which needs huggingface_hub. "random"
        draws them; None does so with a warning. The network then has the checkpoint's sizes.
    size : {"small", "base", "large"}, default="small"
        Sizes of a network with random weights.
    layer : int, array-like of int or "all", default=-1
        Blocks whose tokens are read, from 0, negative ones from the end; no block after the last of them is computed.
        All are read through the final norm.
    pooling : {"mean", "max", "mean+std", "patches"}, default="mean"
        Over the observed patches; "patches" keeps them side by side.
    channels : {"mean", "concat", "separate"}, default="mean"
        Mean over the channels, channels side by side, or an array (n, C, n_features_out).
    scale_features : bool, default=False
        Add 726 quantiles for each channel: the network sees neither level nor scale. They are those of the halves,
        quarters, ... of the series, of its steps from one value to the next, and of its spectrum. For accuracy, set
        this and ``layer="all"``.
    diff_features : bool, default=False
        Add the embedding of the first differences.
    seq_len : int, default=512
        Steps of a full-length series, a multiple of 8. The released weights know 512.
    strict_parity : bool, default=False
        Embed as momentfm does: a patch of eight steps that is not complete is lost, and a missing value is the
        series' mean. Otherwise the first patch is filled up by its first value, a missing value by interpolation, and a
        patch without any value is masked, in each channel for itself.
    finetune : {"head", "lora", "last_k", "full"} or None, default=None
        Weights that ``fit`` trains, beside a head: none; low-rank changes of the attention; the last blocks; all. None
        trains nothing. "head" leaves the features as they are: without y it makes better reconstructions, with y its
        losses say how far frozen features carry.
    objective : {"auto", "masked", "contrastive", "supervised"}, default="auto"
        What ``fit`` trains for: "supervised" is a linear head on the features that finds y, classes or numbers;
        "masked" and "contrastive" need none, see ``pretrain``. "auto" is "supervised" with y, else "masked".
    short : {"pad", "upsample", "raw"}, default="pad"
        Shorter series keep the last positions, as if padded on the left; are interpolated to ``seq_len``; or stand at
        the first positions, which gives other embeddings.
    long : {"interpolate", "chunk", "last"}, default="interpolate"
        Longer series are interpolated to ``seq_len``; embedded in windows, whose mean counts; or cut to their end.
    module_kwargs : dict or None, default=None
        Rare sizes of a network with random weights: d_model, d_ff, n_layers, n_heads, d_kv. For training: lora_rank
        (8), last_k (2) blocks, mask_ratio (0.3) of the patches.
    max_epochs : int, default=10
        Passes over the training series.
    batch_size : int, default=32
        Series in a step of training. In ``transform``, full-length series of one channel in a batch; as many more as
        have equally many patches where they are short.
    lr : float, default=0.0005
        Highest learning rate; ten times that for the low-rank matrices.
    validation_fraction : float in [0, 1), default=0.1
        Share of the series that are held out; the best weights on them are kept, those at the start among them.
    patience : int or None, default=None
        Epochs without improvement before training stops; None never stops.
    max_time : float or None, default=None
        Seconds after which training stops, with a warning.
    device : str, default="auto"
        "auto", "cpu", "cuda", "cuda:1", "mps".
    random_state : int, RandomState or None, default=None
        Seed of random weights, of the held-out series and of training.
    verbose : int, default=0
        1 prints a line for each epoch.
    warm_start : bool, default=False
        Begin with the weights of the last ``fit`` or ``pretrain``.
    callbacks : list or None, default=None
        skorch callbacks.
    net_kwargs : dict or None, default=None
        Rare settings: precision "bfloat16" halves the bits of matrix products, in ``transform`` as well; for the
        others see :class:`~skts.engine.TrainSettings`.

    Attributes
    ----------
    checkpoint_ : dict
        source, revision and sha256 of the weights at the start; the last two are None for random ones.
    tuning_ : dict or None
        strategy, objective, n_train, n_valid, overlap (following windows that share a step with one), start_loss and
        end_loss (of the held-out series, None without them); None where nothing was trained.
    layers_ : list of int
        Blocks that are read.
    n_channels_ : int
        Channels of a series.
    n_timepoints_ : int or None
        Steps of a series where X was two-dimensional; None where lengths are free.
    module_ : MomentNet
        The network.
    history_ : list of dict
        One row for each epoch.
    n_iter_ : int
        Epochs.
    stopped_by_ : str
        "max_epochs", "patience", "max_time", "callback", "interrupt", "divergence", or "frozen" without training.
    device_ : str
        Where the network is.
    cost_ : dict
        fit_seconds, cpu_seconds, peak_memory_mb, n_parameters.
    n_features_in_ : int
        Time points of two-dimensional X, else channels.
    feature_names_in_ : numpy.ndarray
        Names of the time points, where X had some.

    Notes
    -----
    A series is brought to mean 0 and standard deviation 1, cut into patches of eight steps, and each patch is a token
    :math:`W z + \mathrm{pos}`; the blocks are those of T5, with a learned bias for each distance and without
    :math:`1 / \sqrt{d}`. MOMENT adds positions, so a short series on the left and on the right of its 512 steps has
    different embeddings. Padding is never computed: a masked patch has no part in any other, so it is left out while
    the others keep their positions, which gives the same numbers.

    Training counts errors of hidden patches in units of the variance of their series, and normalises a series by
    what is shown of it alone. A supervised head begins as the linear model of the frozen features, so that the weights
    that are kept are never worse than those on the held-out series. It sits on what ``layer``, ``pooling`` and
    ``channels`` give.

    Here and not in momentfm: series below eight steps, gaps for each channel, early exit, several layers, other
    poolings, side features, float64 statistics.

    References
    ----------
    M. Goswami, K. Szafer, A. Choudhry, Y. Cai, S. Li, A. Dubrawski: MOMENT: A Family of Open Time-series Foundation
    Models, ICML 2024, https://arxiv.org/abs/2402.03885.

    C. Raffel et al.: Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer, Journal of
    Machine Learning Research 21, 2020, https://arxiv.org/abs/1910.10683.

    Examples
    --------
    >>> import numpy as np
    >>> from skts import MomentEmbedder
    >>> X = np.sin(np.arange(100) / np.arange(5, 15)[:, None])
    >>> tiny = {"d_model": 16, "d_ff": 32, "n_layers": 2, "n_heads": 2, "d_kv": 8}
    >>> embedder = MomentEmbedder(weights="random", module_kwargs=tiny, random_state=0).fit(X)
    >>> embedder.transform(X).shape
    (10, 16)
    >>> MomentEmbedder(weights="random", module_kwargs=tiny).fit_transform([X[0], X[1, :30]]).shape
    (2, 16)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "weights": [str, os.PathLike, None],
        "size": [StrOptions(set(SIZES))],
        "layer": [Integral, "array-like", StrOptions({"all"})],
        "pooling": [StrOptions(set(POOLINGS))],
        "channels": [StrOptions({"mean", "concat", "separate"})],
        "scale_features": ["boolean"],
        "diff_features": ["boolean"],
        "seq_len": [Interval(Integral, PATCH, PATCH * _POSITIONS, closed="both")],
        "strict_parity": ["boolean"],
        "finetune": [StrOptions(set(STRATEGIES)), None],
        "objective": [StrOptions({"auto", *OBJECTIVES})],
        "short": [StrOptions({"pad", "upsample", "raw"})],
        "long": [StrOptions({"interpolate", "chunk", "last"})],
        "module_kwargs": [dict, None],
    }

    def __init__(
        self,
        weights: str | os.PathLike[str] | None = None,
        size: str = "small",
        layer: Any = -1,
        pooling: str = "mean",
        channels: str = "mean",
        scale_features: bool = False,
        diff_features: bool = False,
        seq_len: int = 512,
        strict_parity: bool = False,
        finetune: str | None = None,
        objective: str = "auto",
        short: str = "pad",
        long: str = "interpolate",
        module_kwargs: dict[str, Any] | None = None,
        max_epochs: int = 10,
        batch_size: int = 32,
        lr: float = 5e-4,
        validation_fraction: float = 0.1,
        patience: int | None = None,
        max_time: float | None = None,
        device: str = "auto",
        random_state: Any = None,
        verbose: int = 0,
        warm_start: bool = False,
        callbacks: list[Any] | None = None,
        net_kwargs: dict[str, Any] | None = None,
    ) -> None:
        self.weights = weights
        self.size = size
        self.layer = layer
        self.pooling = pooling
        self.channels = channels
        self.scale_features = scale_features
        self.diff_features = diff_features
        self.seq_len = seq_len
        self.strict_parity = strict_parity
        self.finetune = finetune
        self.objective = objective
        self.short = short
        self.long = long
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

    def fit(self, X: Any, y: Any = None, groups: Any = None) -> Self:
        """Read the weights, and train them where ``finetune`` says so.

        Parameters
        ----------
        X : array-like of shape (n, T), array (n, C, T), or list of arrays (T_i,) or (C, T_i)
            Series; NaN where a value is missing. Windows of one series belong in their order: where neighbours share
            steps, whole blocks are held out, and what overlaps with them is left out of training.
        y : array-like of shape (n,) or (n, k), optional
            Classes, or numbers, for ``objective="auto"`` and "supervised". Without ``finetune`` it is ignored.
        groups : array-like of shape (n,), optional
            Series of one group are held out together.

        Returns
        -------
        MomentEmbedder
            The estimator itself.

        Raises
        ------
        InputError, InputTypeError
            If the series cannot be used, for instance one of nothing but NaN, or y does not go with them.
        PersistenceError, DataNotFoundError
            If the weights are not there, of another model, or not safe to read.
        """
        return self._fit_torch(X, y, groups, self.finetune, self.objective)

    def pretrain(self, X: Any, objective: str = "masked", groups: Any = None) -> Self:
        """Train all weights on series without a target, from ``weights`` on, and be fitted.

        Then ``export`` writes a folder that ``weights`` reads; ``fit`` begins from ``weights`` again, or with
        ``warm_start=True`` from here.

        Parameters
        ----------
        X : array-like of shape (n, T), array (n, C, T), or list of arrays (T_i,) or (C, T_i)
            Series, as in ``fit``.
        objective : {"masked", "contrastive"}, default="masked"
            Patches are hidden and reconstructed, or two noisy crops of a series are to find each other among those of
            a batch.
        groups : array-like of shape (n,), optional
            Series of one group are held out together.

        Returns
        -------
        MomentEmbedder
            The estimator itself.

        Raises
        ------
        InputError, InputTypeError
            If the series cannot be used.
        ParameterError
            If there is no such objective.
        """
        if objective not in OBJECTIVES[:2]:
            raise ParameterError(f"an objective among {OBJECTIVES[:2]}", repr(objective), "Pass one of these.")
        return self._fit_torch(X, None, groups, "full", objective)

    # ---- a transformer: scikit-learn wraps transform for set_output only where the class itself has it ---------------

    def transform(self, X: Any) -> np.ndarray:
        """Embeddings.

        Parameters
        ----------
        X : array-like of shape (n, T), array (n, C, T), or list of arrays (T_i,) or (C, T_i)
            Series of as many channels as in fit; two-dimensional ones of as many steps. NaN where a value is missing.

        Returns
        -------
        ndarray of shape (n, n_features_out)
            In float32, without NaN; (n, C, n_features_out) with ``channels="separate"``.

        Raises
        ------
        InputError, InputTypeError
            If the series cannot be used.
        """
        check_is_fitted(self)
        return self._embed(as_panel(self, X, reset=False))

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the features.

        Parameters
        ----------
        input_features : array-like of str, optional
            Names of the time points; they are checked, and no feature has one of them.

        Returns
        -------
        ndarray of str
            For instance "layer7_mean_0", "diff_layer7_mean_0", "value_0-0.25_q50"; with ``channels="concat"`` after
            ``channel0_``.
        """
        check_is_fitted(self)
        _check_feature_names_in(self, input_features, generate_names=False)
        return np.array(self._features().names(self.n_channels_), dtype=object)

    # ---- what it needs ------------------------------------------------------------------------------------------

    def _embed(self, panel: Panel) -> np.ndarray:
        return self._features().of(panel, self._runner(self.module_))

    def _runner(self, net: MomentNet) -> Runner:
        recipe = Recipe(self.seq_len, self.short, self.long, self.strict_parity)
        precision = PRECISIONS[TrainSettings().with_rare(self.net_kwargs).precision]
        n_tokens = self.batch_size * self.seq_len // PATCH
        return Runner(net, recipe, n_tokens, next(net.parameters()).device, precision)

    def _features(self) -> Features:
        width = self.module_config_["d_model"]
        readout = Readout(tuple(self.layers_), self.pooling, width, self.seq_len // PATCH)
        return Features(readout, self.channels, self.scale_features, self.diff_features)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
