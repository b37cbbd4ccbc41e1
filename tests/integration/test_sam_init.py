"""`sam init --location` makes a working project; what docs/start-your-own.md can spare, can go."""

import functools
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.commands import SAM, environment_without_account

pytestmark = [pytest.mark.slow, pytest.mark.sam]

PAGE = ROOT / "docs" / "start-your-own.md"
DIGIT = "functions/pre_traffic/golden/mnist/7-a.png"


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """URL of a Git server on this machine that has the repository."""
    repository = tmp_path / "served" / "classifier.git"
    subprocess.run(["git", "clone", "--quiet", "--bare", ROOT, repository], check=True)
    subprocess.run(["git", "update-server-info"], cwd=repository, check=True)
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(repository.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/classifier.git"
        server.shutdown()
        thread.join()


@pytest.fixture
def project(address: str, tmp_path: Path) -> Path:
    """A project that `sam init` has made."""
    command = [str(SAM), "init", "--location", address, "--name", "mine"]
    home = {"HOME": str(tmp_path), "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    environment = environment_without_account() | home
    done = subprocess.run(
        [*command, "--output-dir", str(tmp_path)],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return tmp_path / "mine"


def deletable() -> list[str]:
    section = PAGE.read_text().partition("## What you can delete")[2]
    rows = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    return [path for row in rows for path in re.findall("`([^`]+)`", row)]


def test_a_project_works_without_what_the_page_says_it_does_not_need(
    project: Path, model_store: Path
) -> None:
    # GIVEN a project without its optional parts
    assert len(deletable()) > 10
    for path in map(project.joinpath, deletable()):
        assert path.exists(), path
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    folders = ["", "functions/predict", "functions/drift", "functions/pre_traffic"]
    environment = environment_without_account() | {
        "PYTHONPATH": os.pathsep.join(str(project / folder) for folder in folders),
        "MODEL_STORE_URL": model_store.as_uri(),
    }

    def run(*command: str | Path) -> None:
        done = subprocess.run(
            command, cwd=project, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"

    # THEN its template is valid, and its commands start
    run(SAM, "validate", "--lint", "--region", "us-east-1")
    for module in ("model_build", "tools.demo", "tools.deploy", "tools.openapi"):
        run(sys.executable, "-m", module, "--help")

    # AND it serves
    with subprocess.Popen(
        [sys.executable, "-m", "tools.serve", "--port", "0"],
        cwd=project,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        try:
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            request = urllib.request.Request(f"{url}predict", (project / DIGIT).read_bytes())
            direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with direct.open(request, timeout=60) as response:
                assert json.loads(response.read())["model"]["name"] == "mnist"
        finally:
            server.terminate()
