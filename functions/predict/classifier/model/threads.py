"""How many threads a pass through a model takes."""

import contextlib
import os

from classifier.errors import Misconfigured

SMALL = 2**20  # bytes of a model file
_MEMORY_PER_CPU = 1_769  # megabytes for which Lambda gives a whole vCPU
_QUOTA = "/sys/fs/cgroup/cpu.max"  # of a container: microseconds of CPU in so many microseconds


def threads(size: int) -> int:
    """Threads for a model file of `size` bytes.

    One for a small model: a second has the same median and 30 times the p99. For a larger one
    MODEL_THREADS, or as many as this process has whole CPUs. Raises Misconfigured.
    """
    if size <= SMALL:
        return 1
    value = os.environ.get("MODEL_THREADS") or str(cpus())
    if not (value.isascii() and value.isdecimal() and 1 <= int(value) <= 256):
        raise Misconfigured(f"MODEL_THREADS is {value!r}; expected a number from 1 to 256")
    return int(value)


def cpus() -> int:
    """Whole CPUs that this process may use, at least one."""
    if memory := int(os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "0")):
        return max(1, memory // _MEMORY_PER_CPU)  # the sandbox shows more than it gives
    count = os.process_cpu_count() or 1
    with contextlib.suppress(OSError, ValueError), open(_QUOTA) as file:  # noqa: PTH123 - see store.py
        quota, period = map(int, file.read().split())  # "max" if there is no limit
        count = min(count, quota // period)
    return max(1, count)
