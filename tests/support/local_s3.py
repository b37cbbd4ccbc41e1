"""An S3 server on loopback: moto behind HTTP, one per run, emptied for each test."""

import threading
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

BUCKET = "models"
REGION = "us-east-1"


@pytest.fixture
def s3_url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """URL of an empty model store in a bucket that the AWS environment variables point to."""
    with serving(monkeypatch) as url:
        yield url


@contextmanager
def serving(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Point the AWS environment variables at an empty account; yield the URL of a store in it."""
    import boto3

    server = _server()
    with monkeypatch.context() as environment:
        leave_accounts_alone(environment)
        environment.setattr(boto3, "DEFAULT_SESSION", None)  # it remembers credentials
        environment.setenv("AWS_ACCESS_KEY_ID", "testing")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        environment.setenv("AWS_ENDPOINT_URL", server)
        urllib.request.urlopen(f"{server}/moto-api/reset", b"").close()
        urllib.request.urlopen(urllib.request.Request(f"{server}/{BUCKET}", method="PUT")).close()
        yield f"s3://{BUCKET}/store"


def upload(folder: Path, url: str) -> None:
    """Put the files of a folder into the model store at `url`."""
    import boto3

    bucket, prefix = url.removeprefix("s3://").split("/", 1)
    with closing(boto3.Session().client("s3")) as client:
        for file in (path for path in folder.rglob("*") if path.is_file()):
            key = f"{prefix}/{file.relative_to(folder).as_posix()}"
            client.put_object(Bucket=bucket, Key=key, Body=file.read_bytes())


@cache
def _server() -> str:
    """URL of the server, which stops with this process."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    moto = DomainDispatcherApplication(create_backend_app)
    one_at_a_time = threading.Lock()

    def s3(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        with one_at_a_time:  # S3 checks a condition and writes in one step, moto in two
            return list(moto(environ, start_response))

    class Quiet(WSGIRequestHandler):
        def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's name
            pass

    server = make_server("127.0.0.1", 0, s3, threaded=True, request_handler=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.port}"


def leave_accounts_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove every way to an AWS account from this environment."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
