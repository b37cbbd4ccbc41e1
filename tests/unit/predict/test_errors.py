"""errors.py: the tree, and each error's HTTP status."""

import pytest

from classifier import errors
from classifier.errors import MethodNotAllowed, PredictError


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("PredictError", 500),
        ("BadRequest", 400),
        ("NotFound", 404),
        ("TooLarge", 413),
        ("UnsupportedMediaType", 415),
        ("UnreadableImage", 422),
        ("BlankImage", 422),
        ("ModelUnavailable", 503),
    ],
)
def test_each_error_knows_its_status_and_keeps_its_detail(name: str, status: int) -> None:
    error = getattr(errors, name)("send a digit")
    assert isinstance(error, PredictError)
    assert (error.status, error.detail, str(error)) == (status, "send a digit", "send a digit")


def test_a_wrong_method_names_the_methods_that_are_allowed() -> None:
    error = MethodNotAllowed("/predict takes POST, not GET", "POST")
    assert error.status == 405
    assert error.headers == {"Allow": "POST"}


def test_an_unavailable_model_says_when_to_come_back() -> None:
    assert int(errors.ModelUnavailable("no model").headers["Retry-After"]) > 0


def test_the_headers_of_one_error_are_not_shared_with_another_class() -> None:
    MethodNotAllowed("detail", "GET")
    assert PredictError("detail").headers == {}
    assert errors.BadRequest("detail").headers == {}


def test_the_tree_at_the_top_of_the_module_is_complete() -> None:
    described = errors.__doc__ or ""
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, PredictError):
            assert name in described
            if value is not PredictError:
                line = next(line for line in described.splitlines() if f" {name} " in line)
                assert str(value.status.value) in line
