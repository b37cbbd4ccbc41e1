"""The model as the function's routes use it: loaded on demand, its answers logged and measured."""

import time
from typing import Any, NamedTuple

import numpy as np
from aws_lambda_powertools.metrics import MetricUnit
from numpy.typing import NDArray

from classifier.http.response import predictions
from classifier.model import pace
from classifier.model.pace import Remaining
from classifier.model.session import LazyModel, Model
from classifier.monitoring import statistics
from classifier.monitoring.telemetry import (
    add_confidences,
    logger,
    metrics,
    timed,
)
from classifier.prepare.encoding import Tensor


class Answers(NamedTuple):
    """The model's answers to a batch: for a client, and raw."""

    predictions: list[dict[str, Any]]
    probabilities: NDArray[np.float32]  # [N, classes]


class Served:
    """The one model of this environment."""

    def __init__(self, lazy: LazyModel, remaining: Remaining | None = None) -> None:
        """remaining: milliseconds that are left for the request, if its time is limited."""
        self._lazy = lazy
        self._remaining = remaining

    def model(self) -> Model:
        """Return the model, loading it if necessary. Raises ModelUnavailable if that fails."""
        was_loaded = self._lazy.is_loaded
        model = self._lazy.get()
        if not was_loaded:
            metrics.add_metric("ModelLoadMs", MetricUnit.Milliseconds, model.load_ms)
            logger.info("model loaded", model_version=model.version, load_ms=model.load_ms)
        return model

    def classify(self, model: Model, batch: Tensor) -> Answers:
        """Run the model on a batch. Raises TooLarge if it can't be done in time."""
        started = time.perf_counter_ns()
        with timed("InferenceMs"):
            probabilities = pace.of(model.name, model.version).run(
                model.probabilities, batch, self._remaining
            )
        duration = time.perf_counter_ns() - started
        statistics.of(model.name, model.version).add_batch(len(batch), duration)
        thresholds = model.manifest.output.thresholds
        answers = Answers(predictions(probabilities, model.labels, thresholds), probabilities)
        confidences = [answer["confidence"] for answer in answers.predictions]
        add_confidences(confidences, model.manifest.guess)
        metrics.add_metadata("message", "predicted")
        metrics.add_metadata("model_version", model.version)
        metrics.add_metadata(
            "predictions", [answer["prediction"] for answer in answers.predictions]
        )
        return answers
