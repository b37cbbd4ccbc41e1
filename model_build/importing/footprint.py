"""Memory that the function needs to serve a model file, measured in a process of its own."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np

from model_build.errors import ImportRefused
from model_build.evaluation.evaluate import session

DEFAULT_MB = 1769  # MemorySize in template.yaml
MOST_MB = 10_240  # that a Lambda function can have
# What a request needs beside the model: the handler's packages, and a picture of 16 megapixels.
_OTHER_MB = 350


def needed_mb(path: Path) -> int:
    """MemorySize that the function needs to load a model file and run it on one picture.

    Raises ImportRefused if it can't be run, or if the system ends that process.
    """
    measured = subprocess.run(  # noqa: S603 - this Python
        [sys.executable, "-m", __name__, str(path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    if measured.returncode:
        how = measured.stderr.strip().rpartition("\n")[2] or f"exit code {measured.returncode}"
        raise ImportRefused(
            f"the memory of {path} could not be measured on a black picture ({how}); does this "
            "machine have enough for the model?"
        )
    return int(measured.stdout) + _OTHER_MB


def _run(path: Path) -> int:
    """Peak memory of this process in MB, after it has run a model on a black picture."""
    model = session(path)
    (image,) = model.get_inputs()
    dtype = np.uint8 if "uint8" in image.type else np.float32
    model.run(None, {image.name: np.zeros((1, *image.shape[1:]), dtype)})
    status = Path("/proc/self/status")
    if status.exists():  # unlike getrusage, it forgets the process that started this one
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 2**20


if __name__ == "__main__":
    sys.stdout.write(f"{_run(Path(sys.argv[1]))}\n")
