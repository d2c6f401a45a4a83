"""What a forecast rests on: which variates and which hours, which variates listen to which, and what order does."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.utils import check_random_state
from torch import Tensor, nn

from skts.errors import InputError, ParameterError
from skts.fmamba.attention import FastAttention
from skts.fmamba.attribution import courses, integrated_gradients, variance_shares, with_course
from skts.fmamba.clock import WindowClock
from skts.fmamba.mamba import BiMamba, Mamba
from skts.fmamba.missing import filled_array
from skts.interop.panel import instances

__all__ = ["ExplanationMixin"]

_PROBES = 64  # windows behind feature_importances_
_REFERENCES, _MOST_KEPT = 16, 2**20  # courses that are kept, and numbers in them
_ENTRIES = 2**24  # numbers of the scan's states that are in memory at once


class ExplanationMixin:
    """Explanations of the network of a fitted :class:`~skts.FMambaForecaster`.

    All of them look at the network with the closed form that stands inside of it, as ``guard=None`` would forecast.
    Where the guard blends other candidates with it (``guard_weights_["network"]`` below 1), the forecast rests on those
    as well, each of which looks at a variate's own window alone. Missing values count as what stands in for them.
    """

    @torch.no_grad()
    def attention_map(self, contexts: Any = None, cutoffs: Any = None, X: Any = None) -> np.ndarray:
        """How the attention across variates distributes its weight.

        Parameters
        ----------
        contexts : array of shape (n_windows, n_timepoints, n_variates) or None
            Raw windows, as in ``predict_windows``; None are the ends of all series.
        cutoffs : sequence of n_windows times, optional
            The time of each window's last row.
        X : array of shape (n_windows, n_timepoints, n_columns), optional
            Rows beside each window, where fit was given X.

        Returns
        -------
        numpy.ndarray of shape (n_windows, n_layers, n_variates, n_variates)
            Row i: where variate i looks, as the mean over the heads. Rows sum to one. For the fast kernels these are
            the weights that their product from the right never writes down, for ``attention_norm="kdim"`` divided by
            their sums.

        Raises
        ------
        ParameterError
            If the network has no attention.
        InputError, InputTypeError
            If the windows or cutoffs cannot be used.

        Notes
        -----
        It takes one forward pass, and memory that is quadratic in the number of variates. It is about where the network
        looks, not how much comes of it: a gate may weigh the result with nearly zero. Hold it against ``attributions``.
        """
        self._need(FastAttention, "attention")
        maps = []
        for given in self._batches(self._asked(contexts, cutoffs, X)):
            layers = [block.weights(E).mean(1) for block, E, _ in _blocks(self.module_, FastAttention, given)]
            maps.append(torch.stack(layers, dim=1).cpu().double().numpy())
        found = np.concatenate(maps)
        return found / found.sum(-1, keepdims=True)

    def influence(self, contexts: Any = None, cutoffs: Any = None, X: Any = None) -> np.ndarray:
        """How strongly the state space carries each variate to each other one.

        Parameters
        ----------
        contexts : array of shape (n_windows, n_timepoints, n_variates) or None
            Raw windows, as in ``predict_windows``; None are the ends of all series.
        cutoffs : sequence of n_windows times, optional
            The time of each window's last row.
        X : array of shape (n_windows, n_timepoints, n_columns), optional
            Rows beside each window, where fit was given X.

        Returns
        -------
        numpy.ndarray of shape (n_windows, n_layers, n_variates, n_variates)
            Entry (i, j): the norm of the map from variate j's input of the scan to what the block adds to variate i,
            with its gates; see :meth:`skts.fmamba.mamba.Mamba.influence`. This is the hidden attention of the selective
            scan (steps and projections are taken as selected), not the Jacobian through that selection. Zero where a
            gate is closed.

        Raises
        ------
        ParameterError
            If the network has no state space.
        InputError, InputTypeError
            If the windows or cutoffs cannot be used.

        Notes
        -----
        With one direction the matrix is lower triangular. The scan's inputs are convolved: that of a variate holds a
        part of the one in front of it, for ``d_conv=2``. Time grows with the square of the number of variates.

        References
        ----------
        A. Ali, I. Zimerman, L. Wolf: The Hidden Attention of Mamba Models, 2024, https://arxiv.org/abs/2403.01590.

        I. Zimerman, A. Ali, L. Wolf: Explaining Modern Gated-Linear RNNs via a Unified Implicit Attention Formulation,
        2024, https://arxiv.org/abs/2405.16504.
        """
        self._need((Mamba, BiMamba), "mamba")
        scan = next(m for m in self.module_.modules() if isinstance(m, Mamba))
        at_once = max(1, _ENTRIES // (self.n_variates_ * scan.A_log.numel()))
        maps = []
        for given in self._batches(self._asked(contexts, cutoffs, X), at_once):
            found = _blocks(self.module_, (Mamba, BiMamba), given)
            maps.append(
                torch.stack([block.influence(E, gate) for block, E, gate in found], dim=1).cpu().double().numpy()
            )
        return np.concatenate(maps)

    def attributions(
        self,
        contexts: Any,
        variate: Any,
        step: int | None = None,
        cutoffs: Any = None,
        X: Any = None,
        baseline: Any = None,
        n_nodes: int = 16,
    ) -> np.ndarray:
        """Integrated gradients: how much each time and variate of a window contributes to one variate's forecast.

        Parameters
        ----------
        contexts : array of shape (n_windows, n_timepoints, n_variates) or None
            Raw windows, as in ``predict_windows``; None are the ends of all series.
        variate : column name
            Whose forecast.
        step : int or None, default=None
            Which step of it, from 1 to ``horizon_``; None is the mean over all of them.
        cutoffs : sequence of n_windows times, optional
            The time of each window's last row.
        X : array of shape (n_windows, n_timepoints, n_columns), optional
            Rows beside each window, where fit was given X.
        baseline : array that broadcasts to (n_windows, context_length, n_variates) or None, default=None
            Raw windows to compare with. None are the courses in ``references_``, each at the mean and standard
            deviation of the window, and the mean over them: the attributions tell what this course adds.
        n_nodes : int, default=16
            Points of the quadrature: as many forward and backward passes for each baseline.

        Returns
        -------
        numpy.ndarray of shape (n_windows, context_length, n_variates)
            In the units of ``variate``. They add up to the network's forecast less its (mean) forecast of the baseline.

        Raises
        ------
        InputError, InputTypeError
            If the windows or cutoffs cannot be used, there is no such variate or step, or the baseline does not fit.

        Notes
        -----
        Do not pass constant windows: the network divides each window by its standard deviation and so sees the same
        course all along the line, and all variates but the forecast one get zero.

        References
        ----------
        M. Sundararajan, A. Taly, Q. Yan: Axiomatic Attribution for Deep Networks, ICML 2017,
        https://arxiv.org/abs/1703.01365.

        G. Erion, J. D. Janizek, P. Sturmfels, S. M. Lundberg, S.-I. Lee: Improving performance of deep learning models
        with axiomatic attribution priors and expected gradients, Nature Machine Intelligence, 2021,
        https://arxiv.org/abs/1906.10670.

        Examples
        --------
        >>> from skts import FMambaForecaster
        >>> from skts.datasets import load_us_change
        >>> y = load_us_change()
        >>> forecaster = FMambaForecaster(context_length=24, d_model=16, max_epochs=2, random_state=0).fit(y, fh=[1, 2])
        >>> forecaster.attributions(y.to_numpy()[None, -24:], "Consumption", step=1).shape
        (1, 24, 5)
        """
        column, steps = self._column(variate), self._steps(step)
        asked = self._asked(contexts, cutoffs, X)
        other = None if baseline is None else self._scaled_baseline(baseline, len(asked[0]))
        n_starts = len(self.references_) if other is None else 1
        parts, done = [], 0
        for given in self._batches(asked, max(1, self.batch_size // n_starts)):
            n = len(given[0])
            windows, *rest = (tensor.repeat_interleave(n_starts, dim=0) for tensor in given)
            if other is None:
                starts = with_course(windows, torch.from_numpy(self.references_).to(windows).repeat(n, 1, 1))
            else:
                starts = other[done : done + n].to(windows)

            def forecast(x: Tensor, rest: list[Tensor] = rest) -> Tensor:
                return self.module_(x, *rest)[:, steps, column].mean(1)

            found = integrated_gradients(forecast, windows, starts, n_nodes)
            parts.append(found.unflatten(0, (n, n_starts)).mean(1).cpu().double().numpy())
            done += n
        return np.concatenate(parts) * self.scale_[column]

    def order_sensitivity(
        self, contexts: Any = None, cutoffs: Any = None, X: Any = None, n_orders: int = 8, random_state: Any = 0
    ) -> np.ndarray:
        """How much the forecast depends on the order in which the state space meets the variates.

        Parameters
        ----------
        contexts : array of shape (n_windows, n_timepoints, n_variates) or None
            Raw windows, as in ``predict_windows``; None are the ends of all series.
        cutoffs : sequence of n_windows times, optional
            The time of each window's last row.
        X : array of shape (n_windows, n_timepoints, n_columns), optional
            Rows beside each window, where fit was given X.
        n_orders : int, default=8
            Random orders to try: as many forward passes.
        random_state : int, RandomState or None, default=0
            Seed of the orders.

        Returns
        -------
        numpy.ndarray of shape (n_variates,)
            Root mean square change of each variate's forecast, in its standard deviations in training. Zero for a
            network without state space, or whose gate is closed: the rest does not know an order.

        Raises
        ------
        InputError, InputTypeError
            If the windows or cutoffs cannot be used.
        """
        rng = check_random_state(random_state)
        network, order = copy.deepcopy(self.module_), _Order()
        for layer in network.layers:
            if isinstance(layer.block, Mamba | BiMamba):
                layer.block = _Reordered(layer.block, order)
        asked, squares = self._asked(contexts, cutoffs, X), []
        batches = list(self._batches(asked))
        for _ in range(n_orders):
            order.tokens = torch.from_numpy(rng.permutation(self.n_variates_))
            for given in batches:
                with torch.no_grad():
                    change = network(*given) - self.module_(*given)
                squares.append(change.square().sum((0, 1)).cpu().double().numpy() / change.shape[1])
        return np.sqrt(np.sum(squares, axis=0) / (n_orders * len(asked[0])))

    # ---- at the end of fit --------------------------------------------------------------------------------------

    def _finalise(self, *args: Any) -> None:
        super()._finalise(*args)  # type: ignore[misc]
        batches = self.__dict__.pop("_probes")
        probes = _some(batches, _PROBES) if len(batches) else self._own_ends()
        kept = max(2, min(_REFERENCES, _MOST_KEPT // (self.context_length_ * self.n_variates_)))
        self.references_ = courses(probes[0][:: -(-len(probes[0]) // kept)]).numpy()
        self.feature_importances_ = self._importances(*probes)

    def _own_ends(self) -> tuple[Tensor, Tensor]:
        """The windows at the ends of series that are too short for any other, at an unknown time."""
        scaled, _ = filled_array((self._contexts() - self.center_) / self.scale_)
        windows = torch.from_numpy(scaled.astype(np.float32))
        return windows, torch.full((len(windows),), torch.nan)

    def _importances(self, windows: Tensor, angles: Tensor) -> np.ndarray:
        """Shares of the variates in the variance of the network's forecasts."""
        device, total = torch.device(self.device_), np.zeros(self.n_variates_)
        # Each window is compared with the course of the one half of them all further on.
        course = courses(windows).roll(len(windows) // 2, dims=0)
        for part in torch.arange(len(windows)).split(self.batch_size):
            given = (t[part].to(device) for t in (windows, angles, course))
            total += variance_shares(self.module_, *given)
        total = total.clip(min=0.0)
        return total / total.sum() if total.any() else total

    # ---- input --------------------------------------------------------------------------------------------------

    def _asked(self, contexts: Any, cutoffs: Any, X: Any) -> tuple[np.ndarray, pd.Index]:
        """The windows as the model sees them, and the times of their last rows."""
        self.check_is_fitted()
        if contexts is None:
            return self._contexts(), pd.Index([frame.index[-1] for frame in instances(self.context_).values()])
        windows = self._checked_windows(contexts, X)
        return windows, self._times_of(windows, cutoffs)

    def _batches(self, asked: tuple[np.ndarray, pd.Index], at_most: int | None = None) -> Iterator[tuple[Tensor, ...]]:
        """What the network is given: standardised windows, angles or harmonics, and what is known where holes are."""
        windows, times = asked
        scaled, known = filled_array((windows - self.center_) / self.scale_)
        angles = self._angles_at(times, 1)
        if self.undated_ and np.isnan(angles).any():
            angles = WindowClock.of(self.undated_).completed(scaled, angles)
        device, size = torch.device(self.device_), min(self.batch_size, at_most or self.batch_size)
        tensors = [torch.as_tensor(part, dtype=torch.float32, device=device) for part in (scaled, angles)]
        tensors += [] if known is None else [torch.from_numpy(known).to(device)]
        return zip(*(tensor.split(size) for tensor in tensors), strict=True)

    def _scaled_baseline(self, baseline: Any, n_windows: int) -> Tensor:
        shape = (n_windows, self.context_length_, self.n_variates_)
        try:
            raw = np.broadcast_to(np.asarray(baseline, dtype=np.float64), shape)
        except ValueError as error:
            got = f"shape {np.shape(baseline)}"
            raise InputError(f"a baseline that broadcasts to {shape}", got, "Pass windows like contexts.") from error
        return torch.from_numpy((raw - self.center_) / self.scale_)

    def _column(self, variate: Any) -> int:
        names = list(self.context_.columns)
        if variate not in names:
            raise InputError(f"a variate out of {names}", f"{variate!r}", "Pass a column name of fit.")
        return names.index(variate)

    def _steps(self, step: int | None) -> slice:
        if step is None:
            return slice(None)
        if not 1 <= step <= self.horizon_:
            raise InputError(f"a step from 1 to {self.horizon_}", f"{step}", "Longer forecasts are made of their own.")
        return slice(step - 1, step)

    def _need(self, kind: Any, parameter: str) -> None:
        self.check_is_fitted()
        if not any(isinstance(layer.block, kind) for layer in self.module_.layers):
            raise ParameterError(
                f"a network with {parameter}", f"{parameter}={getattr(self, parameter)!r}", "Fit one that has it."
            )


@torch.no_grad()
def _blocks(network: Any, kind: Any, given: tuple[Tensor, ...]) -> list[tuple[Any, Tensor, Tensor | None]]:
    """The blocks of a kind, the tokens that each gets, and the gate behind it."""
    network = copy.deepcopy(network)  # others may forecast with it at the same time
    inputs: dict[int, Tensor] = {}

    def noting(number: int) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda _, tokens: inputs.update({number: tokens[0]})

    layers = [layer for layer in network.layers if isinstance(layer.block, kind)]
    for number, layer in enumerate(layers):
        layer.block.register_forward_pre_hook(noting(number))
    network(*given)
    return [(layer.block, inputs[number], layer.gate) for number, layer in enumerate(layers)]


class _Order:
    """The order of the tokens, shared by all reordered blocks."""

    tokens: Tensor


class _Reordered(nn.Module):
    """A block that meets the tokens in another order, and gives them back in theirs."""

    def __init__(self, block: nn.Module, order: _Order) -> None:
        super().__init__()
        self.block, self.order = block, order

    def forward(self, E: Tensor) -> Tensor:
        tokens = self.order.tokens.to(E.device)
        return self.block(E[:, tokens])[:, tokens.argsort()]


def _some(batches: Any, at_most: int) -> tuple[Tensor, Tensor]:
    """Some windows, spread evenly over all of them, and their angles."""
    index = torch.linspace(0, len(batches) - 1, min(at_most, len(batches))).long()
    windows, _, angles, *_ = batches.take(index)
    return windows.contiguous(), angles
