"""GenerationDisplay: how a sample becomes determined, block by block."""

from typing import Any, Self

import numpy as np

from skts.errors import InputError
from skts.inspection.mosaic import as_images, mosaic, show_mosaic, show_rows
from skts.inspection.style import SEQUENTIAL, new_axes
from skts.inspection.wording import shorten

__all__ = ["GenerationDisplay"]


class GenerationDisplay:
    """A sample while its tree is walked: what stands already, what may follow, and how much of it is open.

    The blocks are the children of the tree's root. The title says what the network knows least about: the mean surprise
    of the numbers that open a node of each level.

    Parameters
    ----------
    n_given : ndarray of shape (n_stages,)
        Blocks that stand at each stage.
    n_blocks : int
        All of them.
    spread : ndarray of shape (n_stages, ...)
        Standard deviation of what may follow (of words: how often it is not the most frequent one), over that with
        nothing given; 0 where all is determined.
    given, mean : ndarray of shape (n_stages, H, W) or (n_stages, H, W, C), optional
        Images alone: what stands, NaN elsewhere, and the mean of what may follow.
    level_nll : dict of int to float, optional
        Mean surprise at each level, nats for each number.
    names : sequence, optional
        Names of the columns of a table, in the order of the visit.
    layout : {"table", "series", "image"}, default="table"
        What the sample is.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        Its figure.

    Examples
    --------
    >>> import numpy as np
    >>> from skts import FractalSampler
    >>> from skts.inspection import GenerationDisplay
    >>> X = np.random.default_rng(0).normal(size=(200, 8, 1)).cumsum(1)
    >>> model = FractalSampler(splits=[4, 2], max_epochs=1, dims=32, depths=1, random_state=0).fit(X)
    >>> display = GenerationDisplay.from_estimator(model, X[0], n_draws=50, random_state=0)
    >>> display.n_given.tolist(), display.spread.shape
    ([0, 1, 2, 3, 4], (5, 8, 1))
    """

    def __init__(
        self,
        n_given: np.ndarray,
        n_blocks: int,
        spread: np.ndarray,
        given: np.ndarray | None = None,
        mean: np.ndarray | None = None,
        level_nll: dict[int, float] | None = None,
        names: Any = None,
        layout: str = "table",
    ) -> None:
        self.n_given, self.n_blocks, self.spread = n_given, n_blocks, spread
        self.given, self.mean, self.level_nll = given, mean, level_nll
        self.names, self.layout = names, layout

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        x: Any,
        *,
        n_stages: int = 7,
        n_draws: int = 64,
        y: Any = None,
        random_state: Any = None,
        ax: Any = None,
    ) -> Self:
        """Draw the stages of one sample.

        Parameters
        ----------
        estimator : estimator
            Fitted, with ``sample_conditional``, ``splits_`` and ``level_nll_``, such as FractalSampler.
        x : array-like of the shape of one sample, with or without a first axis of 1, or DataFrame of one row
            The sample, for instance one that the model has drawn.
        n_stages : int, default=7
            Stages at the most, evenly spread over the blocks, the empty and the complete one with them.
        n_draws : int, default=64
            Completions of each stage.
        y : class, optional
            Class of the sample, for a model that was fitted with classes.
        random_state : int, RandomState or None, default=None
            Seed of the draws.
        ax : matplotlib Axes, optional
            Where to draw.

        Returns
        -------
        GenerationDisplay
            The display.

        Raises
        ------
        InputError
            If x is not one complete sample, or ``n_stages`` is below 2.
        """
        x = _one_sample(x, tuple(estimator.shape_))
        if n_stages < 2:
            raise InputError("n_stages of at least 2", f"{n_stages}", "Pass n_stages=7.")
        block = estimator.blocks_
        n_blocks = int(block.max()) + 1
        n_given = np.unique(np.linspace(0, n_blocks, min(n_stages, n_blocks + 1)).round().astype(int))
        partial = _partial(x, [block < m for m in n_given[1:-1]])
        start = estimator.sample(n_draws, y=y, random_state=random_state)
        labels = {} if y is None else {"y": np.repeat(y, len(n_given) - 2)}
        middle = (
            estimator.sample_conditional(partial, n_draws, random_state=random_state, **labels)
            if len(n_given) > 2
            else []
        )
        draws = [start, *middle]
        spread = np.stack([*(_spread(drawn) for drawn in draws), np.zeros(block.shape)])
        spread = spread / np.where(spread[0] > 0, spread[0], 1.0)
        options: dict[str, Any] = {}
        if estimator.layout_ == "image":
            empty = np.full(x.shape, np.nan)
            options["given"] = np.concatenate([empty, np.asarray(partial, dtype=np.float64), x])
            options["mean"] = np.stack([*(np.asarray(d, dtype=np.float64).mean(0) for d in draws), x[0]])
        if estimator.layout_ == "table":
            order = np.asarray(estimator.ordering_)
            names = getattr(estimator, "feature_names_in_", [f"x{i}" for i in range(len(order))])
            options["names"], spread = [names[i] for i in order], spread[:, order]
        display = cls(n_given, n_blocks, spread, level_nll=estimator.level_nll_, layout=estimator.layout_, **options)
        return display.plot(ax=ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw into ``ax``, or into a new figure.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw.

        Returns
        -------
        GenerationDisplay
            The display itself.
        """
        n = len(self.n_given)
        if self.layout == "image":
            self.ax_ = new_axes(width=1.25 * n + 0.8, height=4.2)[0] if ax is None else ax
            self._plot_images()
        else:
            self.ax_ = new_axes(width=8.0, height=1.4 + 0.3 * n)[0] if ax is None else ax
            self._plot_heat()
        self.figure_ = self.ax_.figure
        if self.level_nll:
            levels = ", ".join(f"{nll:.2f} at level {level}" for level, nll in self.level_nll.items())
            self.ax_.set_title(f"mean surprise (nats): {levels}", loc="left", fontsize="medium")
        return self

    def _plot_images(self) -> None:
        n = len(self.n_given)
        given, mean = as_images(self.given), as_images(self.mean)
        spread = self.spread if self.spread.ndim == 3 else self.spread.mean(3)
        low, high = np.nanmin(given), np.nanmax(given)
        rows = [
            (mosaic(given, n), low, high, "gray_r"),
            (mosaic(mean, n), low, high, "gray_r"),
            (mosaic(spread, n), 0.0, max(1.0, float(np.quantile(spread, 0.99))), SEQUENTIAL),
        ]
        drawn = show_rows(self.ax_, rows)
        height, width = given.shape[1:3]
        self.ax_.set_yticks([(height + 1) * i + height / 2 - 0.5 for i in range(3)], ["given", "mean", "open"])
        self.ax_.set_xticks([(width + 1) * i + width / 2 - 0.5 for i in range(n)], map(str, self.n_given))
        self.ax_.tick_params(length=0)
        self.ax_.set_xlabel(f"blocks given, of {self.n_blocks}")
        self.ax_.figure.colorbar(drawn[2], ax=self.ax_, label="spread, 1 = nothing given", shrink=0.5)

    def _plot_heat(self) -> None:
        spread = self.spread.mean(2) if self.spread.ndim == 3 else self.spread
        high = max(1.0, float(np.quantile(spread, 0.99)))
        drawn = show_mosaic(self.ax_, spread, 0.0, high, SEQUENTIAL)
        self.ax_.set_aspect("auto")
        self.ax_.set_yticks(range(len(spread)), map(str, self.n_given))
        self.ax_.set_ylabel(f"blocks given, of {self.n_blocks}")
        if self.names is None:
            self.ax_.set_xticks(np.unique(np.linspace(0, spread.shape[1] - 1, 7).round().astype(int)))
            self.ax_.set_xlabel("step")
        else:
            names = [shorten(name, 18) for name in self.names]
            self.ax_.set_xticks(range(len(names)), names, rotation=45, ha="right")
        self.ax_.figure.colorbar(drawn, ax=self.ax_, label="spread, 1 = nothing given")


def _one_sample(x: Any, shape: tuple[int, ...]) -> Any:
    """The sample as the only one of its kind (1, *shape)."""
    is_frame = hasattr(x, "iloc") and hasattr(x, "columns")
    if not is_frame:
        x = np.asarray(x, dtype=np.float64)
        x = x[None] if x.shape == shape else x
    missing = bool(x.isna().to_numpy().any()) if is_frame else bool(np.isnan(x).any())
    if x.shape != (1, *shape) or missing:
        got = f"shape {x.shape}{' with missing values' if missing else ''}"
        raise InputError(f"one complete sample of shape {shape}", got, "Pass X[i], or X.iloc[[i]] of a frame.")
    return x


def _partial(x: Any, stands: list[np.ndarray]) -> Any:
    """The sample once for each mask, missing where nothing stands."""
    if not hasattr(x, "iloc"):
        return np.where(np.stack(stands), x, np.nan) if stands else x[:0]
    return x.iloc[[0] * len(stands)].reset_index(drop=True).where(np.stack(stands)) if stands else x.iloc[:0]


def _spread(draws: Any) -> np.ndarray:
    """How far draws (n, *shape) differ in each place."""
    if not hasattr(draws, "iloc"):
        return np.asarray(draws, dtype=np.float64).std(0)
    columns = (draws.iloc[:, j] for j in range(draws.shape[1]))
    return np.array([_spread_of_column(column) for column in columns])


def _spread_of_column(column: Any) -> float:
    if getattr(column.dtype, "kind", "O") in "fiub":
        return float(column.astype(float).std(ddof=0))
    return 1.0 - float(column.value_counts(normalize=True).max())
