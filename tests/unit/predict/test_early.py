"""early.py: a thread that loads the model while the process imports the rest, or already ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.sure_models import publish

SLOW_IMPORT = """
import sys, threading, time
class Finder:
    def find_spec(name, *_):
        if name == "onnxruntime":
            time.sleep(0.3)  # holding the package's lock, while the other thread gets there
sys.meta_path.insert(0, Finder)
import classifier.handler
from classifier.model.early import loading
print(loading.result().name)
"""

SLOW_HASH = """
import atexit, hashlib, time
sha256 = hashlib.sha256
hashlib.sha256 = lambda content: (time.sleep(1), sha256(content))[1]
atexit.register(lambda: print(loading.is_done))  # runs after what is registered later
from classifier.model.early import loading
"""


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        pytest.param(SLOW_IMPORT, "mnist", id="two threads import onnxruntime at once"),
        pytest.param(SLOW_HASH, "True", id="the process ends before the model is open"),
    ],
)
def test_the_thread_is_in_nobodys_way(tmp_path: Path, code: str, expected: str) -> None:
    publish(tmp_path, "mnist", 7, 0.9)
    environment = {
        **os.environ,
        "MODEL_STORE_URL": tmp_path.as_uri(),
        "PYTHONPATH": str(ROOT / "functions/predict"),
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, f"{expected}\n"), done.stderr
