"""Training: what a peer does with its own data between two committed models. Only `keras_trainer` needs TensorFlow."""

from pyfl.training.arrays import from_trainer
from pyfl.training.layout import Layout, TensorSpec
from pyfl.training.trainer import Evaluation, FlatTrainer, RoundInfo, Trainer, TrainOutcome, TrainResult

__all__ = [
    "Evaluation",
    "FlatTrainer",
    "Layout",
    "RoundInfo",
    "TensorSpec",
    "TrainOutcome",
    "TrainResult",
    "Trainer",
    "from_trainer",
]
