"""threads.py: as many threads as there are CPUs, where the model is worth it."""

from pathlib import Path

import pytest

from classifier.errors import Misconfigured
from classifier.model import threads

LARGE = threads.SMALL + 1


@pytest.fixture(autouse=True)
def eight_cpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A host of eight CPUs; returns the file with its container's quota, which isn't there yet."""
    quota = tmp_path / "cpu.max"
    monkeypatch.setattr(threads, "_QUOTA", str(quota))
    monkeypatch.setattr("os.process_cpu_count", lambda: 8)
    for name in ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "MODEL_THREADS"):
        monkeypatch.delenv(name, raising=False)
    return quota


def test_a_small_model_has_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_THREADS", "3")
    assert threads.threads(threads.SMALL) == 1


def test_a_large_model_has_a_thread_per_cpu() -> None:
    assert threads.threads(LARGE) == 8


def test_threads_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_THREADS", "3")
    assert threads.threads(LARGE) == 3


@pytest.mark.parametrize(
    ("megabytes", "count"), [("128", 1), ("1769", 1), ("3537", 1), ("3538", 2), ("10240", 5)]
)
def test_a_lambda_has_the_cpus_that_its_memory_buys(
    monkeypatch: pytest.MonkeyPatch, megabytes: str, count: int
) -> None:
    """Whatever its sandbox shows."""
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", megabytes)
    assert threads.threads(LARGE) == count


@pytest.mark.parametrize(
    ("quota", "count"),
    [
        ("max 100000\n", 8),
        ("50000 100000\n", 1),
        ("250000 100000\n", 2),
        ("1600000 100000\n", 8),
        ("", 8),
    ],
)
def test_a_container_has_the_cpus_of_its_quota(eight_cpus: Path, quota: str, count: int) -> None:
    """In whole ones: a thread that waits for the rest of one holds the others up."""
    eight_cpus.write_text(quota)
    assert threads.threads(LARGE) == count


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", "257", "²"])
def test_a_number_that_is_none_is_a_misconfiguration(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("MODEL_THREADS", value)
    with pytest.raises(Misconfigured, match=f"MODEL_THREADS is '{value}'; expected a number from"):
        threads.threads(LARGE)
