"""Run the project's commands as a user without an AWS account does."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.support import ROOT

SAM = ROOT / ".venv" / "sam" / "bin" / "sam"


def run(*command: str | Path, timeout: float = 120) -> str:
    """Run a command in the project's root; return its standard output, and fail if it fails."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment_without_account(),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    if done.returncode:
        line = " ".join(map(str, command))
        pytest.fail(f"`{line}` gave {done.returncode}\n{done.stdout}\n{done.stderr}", pytrace=False)
    return done.stdout


def environment_without_account() -> dict[str, str]:
    """Return the environment of a user without an AWS account."""
    names = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"}
    names |= {"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"}
    remaining = {name: value for name, value in os.environ.items() if name not in names}
    return remaining | {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "SAM_CLI_TELEMETRY": "0",
    }
