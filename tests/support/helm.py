"""The program Helm, in the environment `.venv/kubernetes` or on the PATH."""

import shutil
import subprocess
from functools import cache

from tests.support import ROOT

PROGRAMS = ROOT / ".venv" / "kubernetes" / "bin"


@cache
def helm() -> str:
    """Path of a Helm that runs here, or empty: the environment's, or the one on the PATH."""
    for path in (str(PROGRAMS / "helm"), shutil.which("helm") or ""):
        try:
            subprocess.run([path, "version"], capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return path
    return ""
