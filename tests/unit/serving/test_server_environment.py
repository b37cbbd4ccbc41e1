"""server.py: what each worker finds in its environment."""

import pytest

from serving import server


@pytest.mark.parametrize(("workers", "threads"), [(1, "4"), (2, "2"), (3, "1"), (8, "1")])
def test_workers_share_the_cpus(
    monkeypatch: pytest.MonkeyPatch, workers: int, threads: str
) -> None:
    monkeypatch.setattr(server, "cpus", lambda: 4)
    assert server._environment(workers)["MODEL_THREADS"] == threads
