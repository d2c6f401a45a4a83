"""How a model is trained: coordinates, a pilot of every step size, a choice, and the rest of time for the chosen."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skts.engine import FitRun
from skts.errors import InputError
from skts.flowmap.coordinates import Autoencoder
from skts.flowmap.judging import Judge
from skts.flowmap.module import FlowMap
from skts.flowmap.quadratic import QuadraticODE
from skts.flowmap.selection import select_steps
from skts.flowmap.solving import drift
from skts.flowmap.steppers import Stepper, Steps, moved_by_noise, rollout_loss
from skts.flowmap.trajectories import StepWindows

__all__ = ["Pieces", "Recipe", "Training"]

Pieces = list[tuple[Tensor, Tensor]]

_COORDINATE_EPOCHS = 2  # of the autoencoder for each of all step sizes together
_PILOT = 4  # the pilot of a step size takes a quarter of its epochs
_MARGIN = 1.2  # how far beyond training data a state may lie before it is flagged
_CLOSED_FORM_ROWS = 50_000
_FIELD_SHARE = 4  # windows of a field in a batch are a quarter of those of a state
_FINE_TUNING = 0.1  # of the learning rate, for all parts together


@dataclass(frozen=True)
class Recipe:
    """What the user has decided.

    Parameters
    ----------
    max_epochs, n_batches, batch_size : int
        Epochs for each step size, batches of an epoch, windows of a batch.
    n_forward, noise_std : int, float
        See :class:`~skts.flowmap.FlowMapSimulator`.
    selection : str
        How step sizes are chosen.
    ridge : float
        Of least squares for differential equations.
    joint_epochs : int
        Epochs in which all parts are trained together, at the end.
    augment : callable or None
        ``augment(windows, rng)``.
    invariant : callable or None
        ``invariant(states)``.
    n_fields : int
        Fields of a state, each of which has one unit.
    """

    max_epochs: int
    n_batches: int
    batch_size: int
    n_forward: int
    noise_std: float
    selection: str
    ridge: float
    joint_epochs: int
    augment: Callable[..., Any] | None
    invariant: Callable[..., Any] | None
    n_fields: int


class Training:
    """One model's way from states to chosen steps.

    Parameters
    ----------
    run : FitRun
        The fit that collects the stages.
    module : FlowMap
        Trained in place, on the CPU between its stages.
    train, valid : list of (Tensor, Tensor)
        States (n_times, d) and context (n_times, c) of pieces of trajectories.
    recipe : Recipe
        What the user has decided.
    name : str
        In front of the names of stages.
    **changes : dict
        Fields of the settings that differ from the fit's in every stage.
    """

    def __init__(
        self,
        run: FitRun,
        module: FlowMap,
        train: Pieces,
        valid: Pieces,
        recipe: Recipe,
        name: str = "",
        **changes: Any,
    ) -> None:
        self.run, self.module, self.recipe, self.name, self.changes = run, module, recipe, name, changes
        self.train, self.valid = train, valid
        self.steps = sorted({*map(int, module.solvers), *(int(s) for s in module.members[0])})
        self.selected, self.tried = list(self.steps), {}
        self.started: set[tuple[int, int]] = set()  # flow maps (member, step) that have been trained before
        self.rng = np.random.default_rng(run.settings.seed)

    def all_stages(self) -> None:
        """Train and choose."""
        self.coordinates()
        self.learn_range()
        self.judge = Judge(self.valid or self.train, max(self.steps))
        self.steppers()
        for member in range(1, len(self.module.members)):
            for step in self.selected:
                self.stepper(step, self.recipe.max_epochs, member)
        if self.recipe.joint_epochs:
            self.fine_tune()

    def refit(self) -> None:
        """Once this model has been preferred to others: what can be learned of held-out trajectories, too."""

    # ---- coordinates --------------------------------------------------------------------------------------------

    def coordinates(self) -> None:
        """Closed forms, then the autoencoder by its reconstructions."""
        coordinates, rows = self.module.coordinates, torch.cat([states for states, _ in self.train])
        of_field = any(stepper.of_field for stepper in self.module.members[0].values())
        coordinates.start(rows, 1 if of_field else self.recipe.n_fields)
        if not isinstance(coordinates, Autoencoder):
            return
        epochs = _COORDINATE_EPOCHS * self.recipe.max_epochs
        windows = self._windows(self.train, 1, 0)
        self._run(
            coordinates,
            windows,
            lambda net, states, _: net.reconstruction_loss(self._augmented(states)[:, 0]),
            self._judged(self.valid, 1, 0, 4096),
            stage=f"{self.name}coordinates",
            max_epochs=epochs,
        )

    @torch.no_grad()
    def learn_range(self) -> None:
        """Latent states, and what monitors take for known."""
        encode, recipe = self.module.coordinates.encode, self.recipe
        self.latent = [[(encode(x), c) for x, c in part] for part in (self.train, self.valid)]
        rows, z = torch.cat([x for x, _ in self.train]), torch.cat([z for z, _ in self.latent[0]])
        keep = torch.linspace(0, len(rows) - 1, min(len(rows), 20_000)).long()
        self.module.learn_range(rows[keep], z[keep], _MARGIN)
        self.module.noise.copy_(recipe.noise_std * (z - z.mean(0)).square().mean().sqrt())
        if recipe.invariant is not None:
            drifts = [drift(recipe.invariant, x.double().numpy()[None]).max() for x, _ in self.train]
            self.module.worst_drift.copy_(torch.tensor(_MARGIN * max(drifts)))

    # ---- steppers -----------------------------------------------------------------------------------------------

    def steppers(self) -> None:
        """A pilot of every step size shows which are worth the rest of the time."""
        recipe, n = self.recipe, len(self.steps)
        choose = recipe.selection != "none" and n > 1 and self.judge.can_judge
        pilot = max(1, recipe.max_epochs // _PILOT) if choose else recipe.max_epochs
        for step in self.steps:
            self.stepper(step, pilot, pilot=choose)
        if self.judge.can_judge:
            self.judge.shorten(self.module, [[s] for s in self.steps] if choose else [self.steps])
            self.select(self.steps)
        learned = [s for s in self.selected if str(s) not in self.module.solvers]
        left = (recipe.max_epochs - pilot) * n // max(1, len(learned))
        if not left or all(isinstance(self.module.members[0][str(s)], QuadraticODE) for s in learned):
            return
        for step in learned:
            self.stepper(step, left)
        self.select(self.selected)

    def select(self, steps: list[int]) -> None:
        """Keep the steps whose rollouts from held-out states are best."""
        self.selected, tried = select_steps(steps, lambda s: self.judge.error(self.module, s), self.recipe.selection)
        self.tried = {**self.tried, **tried}

    def stepper(self, step: int, epochs: int, member: int = 0, pilot: bool = False) -> None:
        """Train one flow map; closed forms first where it has not been trained before."""
        if str(step) in self.module.solvers:
            return
        stepper = self.module.members[member][str(step)]
        train, valid = self.latent
        if isinstance(stepper, QuadraticODE):
            stepper.fit(train, self.recipe.ridge)
            return
        longest = max(len(z) for z, _ in train)
        n_forward = min(self.recipe.n_forward, max(1, (longest - 1) // step))
        if longest <= step:
            return
        if (member, step) not in self.started:
            self._prepare(stepper, step)
            self.started.add((member, step))
        if not any(True for _ in stepper.parameters()):
            return  # it is a closed form
        source = train if self.recipe.augment is None else self.train
        who = f", member {member}" if member else ""
        stage = f"{self.name}{'pilot of ' if pilot else ''}step {step}{who}"
        # A window of a field holds an example at each of its places, and costs as much more.
        share = _FIELD_SHARE if stepper.of_field else 1
        size = max(1, self.recipe.batch_size // share)
        judged = self._judged(valid, step, n_forward, 2048 // share)
        n_batches = max(1, self.recipe.n_batches // 2) if stepper.of_field else self.recipe.n_batches
        windows = StepWindows.of(source, step, n_forward, n_batches * size)
        self._run(stepper, windows, self._loss, judged, stage=stage, max_epochs=epochs, batch_size=size)
        if not pilot:
            self._finish(stepper, step, judged)

    def _loss(self, stepper: Stepper, states: Tensor, context: Tensor) -> Tensor:
        """Of latent windows; of states where they are augmented, which is on the CPU as coordinates are."""
        if self.recipe.augment is not None and stepper.training:
            moved = self._augmented(states.cpu())
            z = self.module.coordinates.encode(moved.flatten(0, 1)).detach()
            states = z.unflatten(0, moved.shape[:2]).to(states.device)
        return rollout_loss(stepper, states, context, float(self.module.noise))

    @torch.no_grad()
    def _prepare(self, stepper: Stepper, step: int) -> None:
        """Closed forms before training."""
        held_out = [piece for piece in self.valid if len(piece[0]) > step] or self.train
        stepper.start(self.single_steps(self.train, step), self.single_steps(held_out, step))

    @torch.no_grad()
    def _finish(self, stepper: Stepper, step: int, judged: StepWindows | None) -> None:
        """Closed forms after training, kept only if the held-out loss becomes better."""
        if judged is None:
            return
        states, context = judged.take(torch.arange(len(judged)))
        before, loss = copy.deepcopy(stepper.state_dict()), rollout_loss(stepper.eval(), states, context, 0.0).mean()
        stepper.finish(self.single_steps(self.train, step, float(self.module.noise)))
        if not rollout_loss(stepper, states, context, 0.0).mean() < loss:
            stepper.load_state_dict(before)

    def single_steps(self, pieces: Pieces, step: int, noise: float = 0.0, rows: int = _CLOSED_FORM_ROWS) -> Steps:
        """Single steps, augmented and in part with noise, as in training."""
        some = StepWindows.of(pieces, step, 1).thinned(rows)
        states, context = some.take(torch.arange(len(some)))
        moved = self._augmented(states)
        z = self.module.coordinates.encode(moved.flatten(0, 1)).unflatten(0, (len(moved), 2))
        return moved_by_noise(z[:, 0], noise), context[:, 0], z[:, 1]

    # ---- all parts together -------------------------------------------------------------------------------------

    def fine_tune(self) -> None:
        """Coordinates and chosen steppers by one loss, kept only if held-out rollouts become better.

        The decoded error keeps coordinates from collapsing, which latent errors alone reward.
        """
        module, step = self.module, max(self.selected)
        if not isinstance(module.coordinates, Autoencoder) or not self.judge.can_judge:
            return
        before, error = copy.deepcopy(module.state_dict()), self.judge.error(module, self.selected)

        def loss(net: FlowMap, states: Tensor, context: Tensor) -> Tensor:
            states = self._augmented(states)
            total, scale = net.coordinates.reconstruction_loss(states[:, 0]), net.coordinates.scale
            for s in self.selected:
                if step % s == 0:
                    z = net.coordinates.encode(states[:, 0])
                    for _ in range(step // s):
                        z = net.step(s, z, context[:, 0])
                    off = (net.coordinates.decode(z) - states[:, 1]) / scale
                    total = total + off.square().mean(-1)
            return total

        lr = _FINE_TUNING * self.run.settings.lr
        stage, epochs = f"{self.name}all parts", self.recipe.joint_epochs
        valid = self._judged(self.valid, step, 1, 2048)
        self._run(module, self._windows(self.train, step, 1), loss, valid, stage=stage, max_epochs=epochs, lr=lr)
        if self.judge.error(module, self.selected) >= error:
            module.load_state_dict(before)
        self.learn_range()

    # ---- what the stages share ----------------------------------------------------------------------------------

    def _windows(self, pieces: Pieces, step: int, n_forward: int) -> StepWindows:
        return StepWindows.of(pieces, step, n_forward, self.recipe.n_batches * self.recipe.batch_size)

    def _judged(self, pieces: Pieces, step: int, n_forward: int, n: int) -> StepWindows | None:
        windows = StepWindows.of(pieces, step, n_forward).thinned(n) if pieces else None
        return windows if windows is not None and len(windows) else None

    def _run(self, part: Any, windows: StepWindows, loss: Any, valid: StepWindows | None, **changes: Any) -> None:
        self.run.train(part, windows, loss, valid=valid, **{**self.changes, **changes})
        self.module.cpu()

    def _augmented(self, windows: Tensor) -> Tensor:  # (B, m + 1, d) -> (B, m + 1, d)
        if self.recipe.augment is None:
            return windows
        found = np.asarray(self.recipe.augment(windows.cpu().numpy(), self.rng))
        if found.shape != tuple(windows.shape) or not np.isfinite(found).all():
            got = f"shape {found.shape} for windows of {tuple(windows.shape)}"
            raise InputError("augment(windows, rng) that gives finite windows of the same shape", got, "Correct it.")
        return torch.from_numpy(found).to(windows)
