"""The models as the function's routes use them: loaded on demand, logged and measured."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from aws_lambda_powertools.metrics import MetricUnit
from numpy.typing import NDArray

from classifier.errors import ModelUnavailable, TooLarge
from classifier.http.response import predictions
from classifier.model import pace
from classifier.model.models import Models, NotRefreshed
from classifier.model.pace import Remaining
from classifier.model.session import Model
from classifier.monitoring import statistics
from classifier.monitoring.telemetry import (
    add_confidences,
    add_model,
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
    """The models of this environment."""

    def __init__(self, models: Models, remaining: Remaining | None = None) -> None:
        """remaining: milliseconds that are left for the request, if its time is limited."""
        self.models = models
        self._remaining = remaining

    def model(self, name: str | None = None) -> Model:
        """Return a model, by default the first, loading it if necessary.

        Get it once in a request: the next time it may have another version.
        Raises NotFound for another name, ModelUnavailable if it can't be loaded.
        """
        return self._obtain(self.models.get, self.models.resolve(name))

    def load(self, name: str) -> Model:
        """Load a model, or again if its channel points to another version by now; as `model`."""
        return self._obtain(self.models.load, self.models.resolve(name))

    def _obtain(self, call: Callable[[str], Model], name: str) -> Model:
        if len(self.models.names) > 1:
            add_model(name)
        try:
            return call(name)
        finally:
            self._log_events()

    def _log_events(self) -> None:
        for event in self.models.events():
            model = event.model
            about: dict[str, Any] = {"model_name": model.name, "model_version": model.version}
            if isinstance(event, NotRefreshed):
                metrics.add_metric("ModelRefreshFailure", MetricUnit.Count, 1)
                logger.warning("model not refreshed", **about, reason=event.reason)
                continue
            metrics.add_metric("ModelLoadMs", MetricUnit.Milliseconds, model.load_ms)
            if event.former:
                about["former_version"] = event.former
            text = "model refreshed" if event.former else "model loaded"
            logger.info(text, **about, load_ms=model.load_ms)

    def classify(self, model: Model, batch: Tensor) -> Answers:
        """Run the model on a batch, and log it. Raises TooLarge if it can't be done in time."""
        started = time.perf_counter_ns()
        with timed("InferenceMs"):
            probabilities = self._run(model, batch)
        duration = time.perf_counter_ns() - started
        statistics.of(model.name, model.version).add_batch(len(batch), duration)
        answers = _named(model, probabilities)
        confidences = [answer["confidence"] for answer in answers.predictions]
        add_confidences(confidences, model.manifest.guess)
        metrics.add_metadata("message", "predicted")
        metrics.add_metadata("model_name", model.name)
        metrics.add_metadata("model_version", model.version)
        metrics.add_metadata(
            "predictions", [answer["prediction"] for answer in answers.predictions]
        )
        return answers

    def answers(self, model: Model, batch: Tensor) -> Answers:
        """Run the model on a batch without a trace in the log; raises as `classify` does."""
        return _named(model, self._run(model, batch))

    def _run(self, model: Model, batch: Tensor) -> NDArray[np.float32]:
        """Raises ModelUnavailable if the model runs with no picture; the next request loads it."""
        try:
            return pace.of(model.name, model.version).run(
                model.probabilities, batch, self._remaining
            )
        except (TooLarge, MemoryError):
            raise
        except Exception:
            try:
                model.check()  # the first request may come without that
            except ModelUnavailable:
                self.models.unload(model.name)
                raise
            raise


def _named(model: Model, probabilities: NDArray[np.float32]) -> Answers:
    thresholds = model.manifest.output.thresholds
    return Answers(predictions(probabilities, model.labels, thresholds), probabilities)
