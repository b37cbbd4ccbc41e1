"""An S3 server on loopback: moto behind HTTP, for the tests of both sides of the model store."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

BUCKET = "models"
REGION = "us-east-1"


@contextmanager
def serving(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Give the address of an empty bucket, which the environment's AWS settings lead to."""
    import boto3
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
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with monkeypatch.context() as environment:
            leave_accounts_alone(environment)
            environment.setattr(boto3, "DEFAULT_SESSION", None)  # it remembers credentials
            environment.setenv("AWS_ACCESS_KEY_ID", "testing")
            environment.setenv("AWS_SECRET_ACCESS_KEY", "testing")
            environment.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.port}")
            client = boto3.Session().client("s3")
            client.create_bucket(Bucket=BUCKET)
            yield f"s3://{BUCKET}/store"
            for found in client.list_objects_v2(Bucket=BUCKET).get("Contents", []):
                client.delete_object(Bucket=BUCKET, Key=found["Key"])
            client.delete_bucket(Bucket=BUCKET)  # moto keeps its buckets for the whole process
            client.close()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def leave_accounts_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing in this environment lead to an AWS account."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
