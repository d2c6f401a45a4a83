r"""The model: coordinates, and one flow map for each step size.

.. math::

    z = \operatorname{enc}(x), \qquad z_{t+s} = \frac 1 M \sum_m N_s^m(z_t, c), \qquad
    x_{t+s} = \operatorname{dec}(z_{t+s})
"""

import torch
from torch import Tensor, nn

from skts.flowmap.coordinates import Autoencoder, Coordinates, LinearCoordinates, Manifold, OwnCoordinates
from skts.flowmap.polynomial_map import PolynomialMap
from skts.flowmap.quadratic import QuadraticODE
from skts.flowmap.resmlp import ResMLP
from skts.flowmap.solving import solved
from skts.flowmap.steppers import FNO1d, Stepper

__all__ = ["FlowMap"]


class FlowMap(nn.Module):
    """Coordinates and steppers, with what the monitors learned of the training data.

    Parameters
    ----------
    n_features, n_components, n_context : int
        d, z and c.
    coordinates : {"identity", "pca", "manifold", "autoencoder"} or transformer
        Kind of coordinates.
    steppers : dict of str to str, class or callable
        Step size to "resmlp", "polynomial", "fno1d", "opinf", a subclass of :class:`Stepper`, or a solver of the user's
        own.
    n_members : int
        M, flow maps for each step size; their mean is the model.
    dt : float
        Time between samples.
    hidden : sequence of int
        Widths of the autoencoder and of the residual networks.
    """

    def __init__(
        self,
        n_features: int,
        n_components: int,
        n_context: int,
        coordinates: object,
        steppers: dict[str, object],
        n_members: int,
        dt: float,
        hidden: tuple[int, ...],
    ) -> None:
        super().__init__()
        self.dt = dt
        self.coordinates = _coordinates(coordinates, n_features, n_components, hidden)
        self.solvers = {step: kind for step, kind in steppers.items() if not isinstance(kind, str | type)}
        learned = {step: kind for step, kind in steppers.items() if step not in self.solvers}
        self.members = nn.ModuleList(
            nn.ModuleDict(
                {s: _stepper(kind, int(s), n_components, n_context, dt, hidden) for s, kind in learned.items()}
            )
            for _ in range(n_members)
        )
        self.register_buffer("latent_center", torch.zeros(n_components))
        self.register_buffer("whitening", torch.eye(n_components))
        self.register_buffer("farthest", torch.full((), torch.inf))  # norm of a whitened state that is still known
        self.register_buffer("worst_cycle", torch.full((), torch.inf))  # error of decoding and encoding, scaled units
        self.register_buffer("worst_drift", torch.full((), torch.inf))  # of the user's invariant along a trajectory
        self.register_buffer("noise", torch.zeros(()))  # standard deviation of the training noise, latent units

    def step(self, size: int, z: Tensor, c: Tensor, member: int | None = None) -> Tensor:  # (B, z), (B, c) -> (B, z)
        """The state ``size`` samples later, by all members or by one."""
        key = str(size)
        if key in self.solvers:
            return solved(self.solvers[key], self.coordinates, self.coordinates.decode(z), self.dt, size)
        if member is not None or len(self.members) == 1:
            return self.members[member or 0][key](z, c)
        return sum(steppers[key](z, c) for steppers in self.members) / len(self.members)

    def distance(self, z: Tensor) -> Tensor:  # (..., z) -> (...)
        """How far a state lies from the training data: Mahalanobis distance over the largest that was known."""
        return ((z - self.latent_center) @ self.whitening).norm(dim=-1) / self.farthest

    def cycle_error(self, x: Tensor) -> Tensor:  # (B, d) -> (B,)
        """What coordinates lose of a state, over the most that was usual in training."""
        back = self.coordinates.decode(self.coordinates.encode(x))
        return ((back - x) / self.coordinates.scale).square().mean(-1).sqrt() / self.worst_cycle

    def unknown(self, x: Tensor) -> Tensor:  # (B, d) -> (B,)
        """Whether a state is beyond the training data, or off the surface that coordinates describe; NaN is unknown."""
        return ~((self.cycle_error(x) <= 1) & (self.distance(self.coordinates.encode(x)) <= 1))

    def pulled_back(self, z: Tensor) -> Tensor:
        """States beyond the known range, moved to its edge."""
        far = self.distance(z).clamp_min(1.0)[..., None]
        return self.latent_center + (z - self.latent_center) / far

    def learn_range(self, x: Tensor, z: Tensor, margin: float) -> None:
        """Set the monitors from training states (n, d) and their coordinates (n, z)."""
        self.latent_center.copy_(z.mean(0))
        covariance = torch.cov(z.double().T).reshape(z.shape[1], z.shape[1])
        value, basis = torch.linalg.eigh(covariance)
        # Directions of hardly any variance count as a hundredth of the longest: what a flow map leaves there is none.
        spread = value.clamp_min(1e-4 * value.max().clamp_min(1e-30)).sqrt()
        self.whitening.copy_(basis / spread)
        self.farthest.fill_(1.0)
        self.farthest.copy_(margin * self.distance(z).quantile(0.999).clamp_min(1e-6))
        self.worst_cycle.fill_(1.0)
        self.worst_cycle.copy_(margin * self.cycle_error(x).quantile(0.999).clamp_min(1e-4))


def _coordinates(kind: object, d: int, z: int, hidden: tuple[int, ...]) -> Coordinates:
    if kind == "autoencoder":
        return Autoencoder(d, z, hidden)
    if isinstance(kind, str):
        return {"pca": LinearCoordinates, "manifold": Manifold}[kind](d, z) if kind != "identity" else Coordinates(d)
    return OwnCoordinates(d, kind)


def _stepper(kind: object, step: int, z: int, c: int, dt: float, hidden: tuple[int, ...]) -> Stepper:
    if isinstance(kind, type):
        return kind(step, z, c)
    if kind == "opinf":
        return QuadraticODE(step, z, c, dt)
    if kind == "polynomial":
        return PolynomialMap(step, z, c)
    return FNO1d(step, z, c) if kind == "fno1d" else ResMLP(step, z, c, hidden)
