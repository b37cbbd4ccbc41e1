"""The errors of a request, as one tree; each knows its HTTP status.

PredictError
├── BadRequest            400  malformed JSON or base64, a wrong parameter
├── NotFound              404  no such route, model or version
├── MethodNotAllowed      405  a known route, another method
├── TooLarge              413  body over 4 MiB, image over 16 megapixels, too many images
├── UnsupportedMediaType  415  an unsupported content type or image format
├── UnreadableImage       422  no image in the bytes, or a truncated one, or the wrong size
│   └── BlankImage        422  an image without ink
├── ModelUnavailable      503  the model store is missing, empty, corrupt or unreachable
└── Misconfigured         500  an invalid environment variable, which no retry fixes

UnsupportedEvent stands outside the tree: it fails the invocation.

Only `handler.py` turns them into responses.
"""

from http import HTTPStatus


class UnsupportedEvent(Exception):
    """An event of another service. It fails the invocation, so that nothing counts as done."""


class PredictError(Exception):
    """A request that can't be answered; its text tells the client what to send instead."""

    status: HTTPStatus = HTTPStatus.INTERNAL_SERVER_ERROR
    headers: dict[str, str] = {}  # noqa: RUF012 - replaced by subclasses, never changed

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class BadRequest(PredictError):
    """400: the request itself is malformed."""

    status = HTTPStatus.BAD_REQUEST


class NotFound(PredictError):
    """404: no such route, model or version."""

    status = HTTPStatus.NOT_FOUND


class MethodNotAllowed(PredictError):
    """405: the route exists, but not for this method."""

    status = HTTPStatus.METHOD_NOT_ALLOWED

    def __init__(self, detail: str, allow: str) -> None:
        super().__init__(detail)
        self.headers = {"Allow": allow}


class TooLarge(PredictError):
    """413: more than one request may carry."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class UnsupportedMediaType(PredictError):
    """415: an unsupported content type or image format."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class UnreadableImage(PredictError):
    """422: the bytes are not a picture that can be classified."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY


class BlankImage(UnreadableImage):
    """422: the picture carries no ink."""


class ModelUnavailable(PredictError):
    """503: the model can't be loaded now; a request a second later tries again."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    headers = {"Retry-After": "5"}  # noqa: RUF012 - never changed


class Misconfigured(PredictError):
    """500: a setting of the function is wrong. The reason is logged and not sent to the client."""

    def __init__(self, reason: str) -> None:
        """reason: names the variable, quotes its value, and says what was expected."""
        super().__init__(reason)
        self.detail = "the function is misconfigured; retrying won't help, see its log"
