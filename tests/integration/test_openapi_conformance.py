"""The running service answers as openapi.yaml states, whatever is sent to it."""

from pathlib import Path

from tests.support.conformance import check_conformance
from tests.support.local_service import LocalService


def test_the_service_answers_as_its_interface_states(service: LocalService, tmp_path: Path) -> None:
    """No error of the server's, no status, type, header or body that is not documented."""
    check_conformance(service.url, tmp_path)
