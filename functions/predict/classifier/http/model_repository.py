"""The Open Inference Protocol's model repository extension: which models are loaded, load, unload.

All of it is about the environment that answers, which has its models in its own memory.
Source: github.com/triton-inference-server/server, docs/protocol/extension_model_repository.md
"""

import json
import re
from reprlib import repr as short  # don't echo kilobytes back
from typing import Any

from classifier.errors import BadRequest, TooLarge
from classifier.http import MAX_BODY
from classifier.http.event import Request
from classifier.http.response import Response, ok
from classifier.http.routes import Route
from classifier.served import Served


def index(request: Request, served: Served) -> Response:
    """POST /v2/repository/index: each model of MODEL_NAME; with {"ready": true} the loaded ones."""
    only_ready = _document(request).get("ready", False)
    if not isinstance(only_ready, bool):
        raise BadRequest(f'"ready" must be true or false, got {short(only_ready)}')
    models = [_state(served, name) for name in served.models.names]
    return ok([model for model in models if not only_ready or model["state"] == "READY"])


def load(request: Request, served: Served, name: str) -> Response:
    """POST …/load: load a model, or again if its channel points to another version by now.

    If that fails, the version of before stays. Raises as `Served.model` does, and BadRequest for a
    configuration or files of the client's.
    """
    if parameters := _document(request).get("parameters"):
        raise BadRequest(
            f"unsupported parameters {short(sorted(parameters))}; a model is loaded as it "
            "is in the store"
        )
    served.load(name)
    return ok({})


def unload(request: Request, served: Served, name: str) -> Response:
    """POST …/unload: free a model's memory. The next request for it loads it again.

    So no client can take a model, or the default one, from the others.
    """
    _document(request)
    served.models.unload(name)
    return ok({})


def _state(served: Served, name: str) -> dict[str, str]:
    model = served.models.loaded(name)
    if model:
        return {"name": name, "version": model.version, "state": "READY", "reason": ""}
    reason = "unloaded" if served.models.is_unloaded(name) else "not loaded"
    reason += "; the first request for it loads it"
    return {"name": name, "version": "", "state": "UNAVAILABLE", "reason": reason}


def _document(request: Request) -> dict[str, Any]:
    if len(request.body) > MAX_BODY:
        raise TooLarge(f"the body has {len(request.body)} bytes; send at most {MAX_BODY}")
    try:
        document = json.loads(request.body or b"{}")
    except (ValueError, RecursionError) as error:
        raise BadRequest("the body is not valid JSON") from error
    if not isinstance(document, dict):
        raise BadRequest("the body must be a JSON object, or empty")
    if not isinstance(document.get("parameters", {}), dict):
        raise BadRequest('"parameters" must be a JSON object, or absent')
    return document


ROUTES: list[Route] = [
    (re.compile("/v2/repository/index"), "POST", index),
    (re.compile("/v2/repository/models/(?P<name>[^/]+)/load"), "POST", load),
    (re.compile("/v2/repository/models/(?P<name>[^/]+)/unload"), "POST", unload),
]
