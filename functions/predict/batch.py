"""Entry point of the batch function: Step Functions calls `batch.handler`."""

from classifier.batch import handler

__all__ = ["handler"]
