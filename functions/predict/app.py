"""Entry point of the HTTP function: Lambda calls `app.handler`."""

from classifier.handler import handler

__all__ = ["handler"]
