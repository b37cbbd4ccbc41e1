"""The running service follows openapi.yaml, whatever is sent to it."""

from pathlib import Path

from tests.support.conformance import check_conformance
from tests.support.local_service import LocalService


def test_the_service_answers_as_its_interface_states(service: LocalService, tmp_path: Path) -> None:
    """No server error, and no undocumented status, type, header or body."""
    check_conformance(service.url, tmp_path)
