"""Fine-tuning: a network is trained further, as after a technique that cost it accuracy."""

from typing import Any

from model_build.engine.stage import StageContext
from model_build.training.prune import zeros_held
from model_build.training.train import fit, training


def build_stage(context: StageContext, **schedule: Any) -> None:
    """Train a network further; exact zeros of its kernels stay zero."""
    network = context.network()
    with zeros_held(network):
        fit(network, *training(context, **schedule))
    context.save(network)
