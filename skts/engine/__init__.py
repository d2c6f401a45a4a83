"""Training: the only package that knows skorch. Its verb is :func:`train`, its prediction loop :func:`forward`."""

from skorch.callbacks import Callback

from skts.engine.batches import ArrayBatches, Batches, WindowBatches, cut_last_part
from skts.engine.callbacks import CallbackSupportMixin, FitTask, SklearnBridge, StopTraining, with_callbacks
from skts.engine.cost import CostMeter
from skts.engine.device import resolve_device
from skts.engine.predict import forward
from skts.engine.run import FitRun
from skts.engine.seeding import draw_seed, seeded
from skts.engine.settings import TrainSettings
from skts.engine.train import TrainingInterrupted, TrainResult, train

__all__ = [
    "ArrayBatches",
    "Batches",
    "Callback",
    "CallbackSupportMixin",
    "CostMeter",
    "FitRun",
    "FitTask",
    "SklearnBridge",
    "StopTraining",
    "TrainResult",
    "TrainSettings",
    "TrainingInterrupted",
    "WindowBatches",
    "cut_last_part",
    "draw_seed",
    "forward",
    "resolve_device",
    "seeded",
    "train",
    "with_callbacks",
]
