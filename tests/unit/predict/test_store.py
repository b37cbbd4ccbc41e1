"""store.py: the same object from a folder and from a real S3 server."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import boto3
import pytest
from moto.server import ThreadedMotoServer

from classifier.errors import Misconfigured, ModelUnavailable
from classifier.model.store import FolderStore, S3Store, open_store

CONTENT = bytes(range(256)) * 500
KEY = "mnist/channels/production.json"


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """Address of an S3 server with CONTENT under two keys of bucket `models`."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    client.create_bucket(Bucket="models")
    for key in (KEY, f"team/a b/{KEY}"):
        client.put_object(Bucket="models", Key=key, Body=CONTENT)
    client.close()
    yield url
    server.stop()


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment with dummy credentials and no endpoint."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    return monkeypatch


@pytest.mark.parametrize("folder", ["plain", "with space", "größe", "100%"])
def test_a_folder_gives_its_files(tmp_path: Path, folder: str) -> None:
    file = tmp_path / folder / KEY
    file.parent.mkdir(parents=True)
    file.write_bytes(CONTENT)
    assert open_store((tmp_path / folder).as_uri()).read(KEY, len(CONTENT)) == CONTENT


def test_opening_a_store_reads_nothing(tmp_path: Path, account: pytest.MonkeyPatch) -> None:
    assert isinstance(open_store((tmp_path / "missing").as_uri()), FolderStore)
    assert isinstance(open_store("s3://no-such-bucket/prefix"), S3Store)


def test_a_folder_without_the_file_names_the_key(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=KEY):
        open_store(tmp_path.as_uri()).read(KEY, len(CONTENT))


def test_a_folder_in_the_place_of_a_file_can_not_be_read(tmp_path: Path) -> None:
    (tmp_path / KEY).mkdir(parents=True)
    with pytest.raises(ModelUnavailable, match="can't be read"):
        open_store(tmp_path.as_uri()).read(KEY, len(CONTENT))


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT"])
@pytest.mark.parametrize(
    "url",
    [
        *("nonsense", "localhost:4566", "ftp://127.0.0.1", "http://", "http://[::1", "http://a b"),
        *("http://127.0.0.1:99999", " http://127.0.0.1", "http://bücher", "http://%zz", "http://<"),
    ],
)
def test_an_endpoint_that_is_not_a_url_is_a_misconfiguration(
    account: pytest.MonkeyPatch, variable: str, url: str
) -> None:
    """obstore would panic on most of them and abort the process."""
    account.setenv(variable, url)
    with pytest.raises(Misconfigured) as caught:
        open_store("s3://models")
    assert str(caught.value) == f"{variable} is {url!r}; expected http:// or https:// and a host"


def test_a_region_that_can_not_be_one_is_a_misconfiguration(account: pytest.MonkeyPatch) -> None:
    account.setenv("AWS_REGION", "eu central")
    with pytest.raises(Misconfigured, match="AWS_REGION is 'eu central'; expected a region"):
        open_store("s3://models")


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
@pytest.mark.parametrize("url", ["s3://models", "s3://models/team/a b/"])
def test_s3_gives_its_objects_with_and_without_a_prefix(
    s3: str, account: pytest.MonkeyPatch, variable: str, url: str
) -> None:
    account.setenv(variable, s3)
    assert open_store(url).read(KEY, len(CONTENT)) == CONTENT


def test_the_endpoint_of_s3_goes_before_the_general_one(
    s3: str, account: pytest.MonkeyPatch
) -> None:
    account.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    account.setenv("AWS_ENDPOINT_URL_S3", s3)
    assert open_store("s3://models").read(KEY, len(CONTENT)) == CONTENT


@pytest.mark.parametrize("url", ["s3://models/elsewhere", "s3://no-such-bucket"])
def test_a_missing_key_and_a_missing_bucket_name_the_key(
    s3: str, account: pytest.MonkeyPatch, url: str
) -> None:
    account.setenv("AWS_ENDPOINT_URL", s3)
    with pytest.raises(ModelUnavailable, match=f"no {KEY}"):
        open_store(url).read(KEY, len(CONTENT))


class SnapStart(BaseHTTPRequestHandler):
    """Lambda's credentials endpoint and S3 in one; `expires` says how long credentials last."""

    expires = "2100-01-01T00:00:00Z"
    asked: ClassVar[list[str]] = []  # for credentials, with which token
    signed: ClassVar[list[tuple[str, str]]] = []  # objects: by which key, with which session token

    def do_GET(self) -> None:
        authorization = self.headers.get("Authorization", "")
        content = CONTENT
        if self.path == "/credentials":
            self.asked.append(authorization)
            content = json.dumps(
                {
                    "AccessKeyId": f"KEY{len(self.asked)}",
                    "SecretAccessKey": "secret",
                    "Token": "session",
                    "Expiration": self.expires,
                }
            ).encode()
        else:
            key = authorization.partition("Credential=")[2].partition("/")[0]
            self.signed.append((key, self.headers.get("x-amz-security-token", "")))
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Last-Modified", "Sat, 31 Jan 2026 12:00:00 GMT")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize(
    ("expires", "keys"),
    [("2100-01-01T00:00:00Z", ["KEY1", "KEY1"]), ("2020-01-01T00:00:00Z", ["KEY1", "KEY2"])],
    ids=["fresh", "stale"],
)
def test_snapstart_gives_credentials_at_an_address_for_a_token(
    account: pytest.MonkeyPatch, expires: str, keys: list[str]
) -> None:
    """And those that have expired since the snapshot are asked for anew."""
    account.setattr(SnapStart, "expires", expires)
    SnapStart.asked.clear()
    SnapStart.signed.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), SnapStart)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        account.delenv(name, raising=False)
    account.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{url}/credentials")
    account.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "a token")
    account.setenv("AWS_ENDPOINT_URL", url)
    store = S3Store("models", "")
    for _ in keys:
        assert store.read(KEY, len(CONTENT)) == CONTENT
    server.shutdown()
    server.server_close()
    assert SnapStart.signed == [(key, "session") for key in keys]
    assert set(SnapStart.asked) == {"a token"}


def test_a_server_that_is_down_is_given_up(account: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # and not listening: connections are refused
        account.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(ModelUnavailable, match="can't be read"):
            open_store("s3://models").read(KEY, len(CONTENT))


class _Refusing(BaseHTTPRequestHandler):
    """Answers /<bucket>/... according to the bucket's name."""

    statuses: ClassVar = {"forbidden": 403, "broken": 500, "busy": 503, "short": 200}

    def do_GET(self) -> None:
        bucket = self.path.split("/")[1]
        self.send_response(self.statuses[bucket])
        self.send_header("Content-Length", "1000" if bucket == "short" else "0")
        self.end_headers()
        if bucket == "short":
            self.wfile.write(b"not all of it")
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its parent's name
        pass


@pytest.mark.parametrize(
    ("bucket", "reason"),
    [
        ("forbidden", "may not read it"),
        ("broken", "can't be read"),
        ("busy", "can't be read"),
        ("short", "can't be read"),
    ],
)
def test_an_answer_that_is_not_the_whole_object_is_unavailable(
    account: pytest.MonkeyPatch, bucket: str, reason: str
) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Refusing) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        account.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        try:
            with pytest.raises(ModelUnavailable, match=reason):
                open_store(f"s3://{bucket}").read(KEY, len(CONTENT))
        finally:
            server.shutdown()
