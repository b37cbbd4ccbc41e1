"""`classifier-on-lambda serve`: real processes, seen from outside."""

import base64
import contextlib
import datetime as dt
import gzip
import ipaddress
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPSConnection
from pathlib import Path

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from numpy.typing import NDArray
from prometheus_client.parser import text_string_to_metric_families
from tritonclient.grpc import InferenceServerClient  # type: ignore[import-untyped]

from events.make_events import encode_png as png
from serving.__main__ import main
from tests.conftest import Publish
from tests.support import ROOT
from tests.support.hostile_files import FORM, form
from tests.support.own_server import OwnServer, own_server, wait_for

REFUSE_ALL = {"threshold": 0.5, "slope": 0.01, "offset": -9.0}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, publish: Publish) -> Path:
    """A model that takes every picture for something else, unless told reject=off."""
    root = tmp_path_factory.mktemp("store")
    publish(root, manifest=lambda document: document.update(rejection=REFUSE_ALL))
    return root


@pytest.fixture(scope="module")
def server(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnServer]:
    with own_server(store, tmp_path_factory.mktemp("server"), "--workers", "2") as running:
        yield running


def metric(server: OwnServer, sample_name: str, /, **labels: str) -> float:
    """A sample's value as one worker reports it; 0 if there is none."""
    status, text = server.get("/metrics")
    assert status == 200
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == sample_name and labels.items() <= sample.labels.items()
    )


def test_a_form_with_a_picture_is_answered(server: OwnServer, digits: NDArray[np.uint8]) -> None:
    """As `curl -F image=@picture.png` sends it."""
    body = form(("image", png(digits[3])))
    status, text = server.send("POST", "/predict?preprocess=none&reject=off", body, FORM)
    assert (status, json.loads(text)["prediction"]) == (200, 3)


@pytest.mark.parametrize("path", ["/", "/health", "/ready", "/model", "/openapi.json", "/v2"])
def test_the_functions_routes_are_served(server: OwnServer, path: str) -> None:
    assert server.get(path)[0] == 200


def test_a_connection_is_kept_for_the_next_request(server: OwnServer) -> None:
    """HTTP/1.1, after a refusal too."""
    with contextlib.closing(server.connection()) as connection:
        connection.connect()
        port = connection.sock.getsockname()[1]
        for path, expected in (("/health", 200), ("/no/such/path", 404), ("/ready", 200)):
            connection.request("GET", path)
            response = connection.getresponse()
            response.read()
            assert response.status == expected
            assert connection.sock.getsockname()[1] == port


def test_any_worker_reports_the_requests_of_all(
    server: OwnServer, digits: NDArray[np.uint8]
) -> None:
    """By route and status, with their times; predictions by label; pictures of something else."""
    names: list[tuple[str, dict[str, str]]] = [
        ("classifier_requests_total", {"route": "/predict", "status": "200", "protocol": "http"}),
        ("classifier_request_duration_seconds_count", {"route": "/predict"}),
        ("classifier_predictions_total", {"label": "5"}),
        ("classifier_rejected_total", {}),
        ("classifier_requests_total", {"route": "/predict", "status": "422"}),
        ("classifier_requests_total", {"route": "other", "status": "404"}),
    ]
    before = [metric(server, name, **labels) for name, labels in names]
    for _ in range(8):
        server.send("POST", "/predict?preprocess=none&reject=off", png(digits[5]))
        server.send("POST", "/predict?preprocess=none", png(digits[5]))
    server.send("POST", "/predict?preprocess=none", png(digits[5])[:-30])
    server.get("/no/such/path")
    expected = [16, 17, 8, 8, 1, 1]
    for _ in range(6):  # of both workers, most likely
        after = [metric(server, name, **labels) for name, labels in names]
        assert np.subtract(after, before).tolist() == expected


def test_tensors_are_counted_by_label(server: OwnServer, digits: NDArray[np.uint8]) -> None:
    before = metric(server, "classifier_predictions_total", label="8")
    tensor = {"name": "image", "datatype": "UINT8", "shape": [2, 28, 28]}
    data = digits[[8, 8]].ravel().tolist()
    body = json.dumps({"inputs": [{**tensor, "data": data}]}).encode()
    assert server.send("POST", "/v2/models/mnist/infer", body)[0] == 200
    assert metric(server, "classifier_predictions_total", label="8") == before + 2
    wanted = {"name": "probabilities", "parameters": {"classification": 2, "binary_data": True}}
    body = json.dumps({"inputs": [{**tensor, "data": data}], "outputs": [wanted]}).encode()
    assert server.send("POST", "/v2/models/mnist/infer", body)[0] == 200
    assert metric(server, "classifier_predictions_total", label="8") == before + 4


def test_a_compressed_answer_is_counted(server: OwnServer, digits: NDArray[np.uint8]) -> None:
    before = metric(server, "classifier_predictions_total", label="6")
    images = [base64.b64encode(png(digits[6])).decode()] * 8
    body = json.dumps({"images": images}).encode()
    with contextlib.closing(server.connection()) as connection:
        connection.request(
            "POST", "/predict?preprocess=none&reject=off", body, {"Accept-Encoding": "gzip"}
        )
        response = connection.getresponse()
        assert response.getheader("Content-Encoding") == "gzip"
        assert len(json.loads(gzip.decompress(response.read()))["predictions"]) == 8
    assert metric(server, "classifier_predictions_total", label="6") == before + 8


def test_the_model_is_reported(server: OwnServer) -> None:
    version = json.loads(server.get("/model")[1])["version"]
    assert metric(server, "classifier_model_info", name="mnist", version=version) == 1


def test_each_request_is_a_line_of_the_access_log(
    server: OwnServer, digits: NDArray[np.uint8]
) -> None:
    """Under the id that the client has seen."""
    status, text = server.send("POST", "/predict?preprocess=none", png(digits[1]))
    line = server.logged(json.loads(text)["request_id"])
    assert line.pop("duration_ms") > 0
    assert dt.datetime.fromisoformat(line.pop("time")).tzinfo is dt.UTC
    assert line == {
        "message": "request",
        "protocol": "HTTP/1.1",
        "client": "127.0.0.1",
        "method": "POST",
        "path": "/predict",
        "status": status,
        "bytes": len(text),
        "request_id": json.loads(text)["request_id"],
    }


def test_endless_headers_are_cut_off(server: OwnServer) -> None:
    """The server doesn't keep what a client sends without end."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Endless: ")
        with pytest.raises(OSError, match=r"reset|Broken pipe"):
            connection.sendall(b"a" * 64 * 1024 * 1024)


def test_malformed_chunks_are_the_clients_mistake(server: OwnServer) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(head + b"zz\r\n")
        answer = connection.recv(10_000)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in answer


def test_a_taken_port_is_named(server: OwnServer) -> None:
    """Workers share ports, so that a second server would take half of the requests."""
    command = [sys.executable, "-m", "serving", "serve", "--port", str(server.port)]
    refused = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert f"can't listen on 127.0.0.1 port {server.port}: " in refused.stderr


def test_a_worker_that_died_is_replaced(store: Path, tmp_path: Path) -> None:
    with own_server(store, tmp_path) as server:
        (worker,) = server.workers()
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda: [other for other in server.workers() if other != worker])

        def answers() -> bool:
            with contextlib.suppress(OSError):
                return server.get("/health")[0] == 200
            return False

        assert wait_for(answers)


def test_a_request_in_progress_is_answered_before_the_server_stops(
    store: Path, tmp_path: Path, digits: NDArray[np.uint8]
) -> None:
    """SIGTERM ends it with status 0, and without new connections."""
    body = png(digits[2])
    head = (
        "POST /predict?preprocess=none&reject=off HTTP/1.1\r\nHost: test\r\n"
        f"Expect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with own_server(store, tmp_path, "--workers", "2") as server:
        address = ("127.0.0.1", server.port)
        with socket.create_connection(address, timeout=30) as connection:
            connection.sendall(head.encode())
            assert connection.recv(1024) == b"HTTP/1.1 100 Continue\r\n\r\n"  # it reads the body
            server.process.send_signal(signal.SIGTERM)

            def is_closed() -> bool:
                with contextlib.suppress(OSError), socket.create_connection(address):
                    return False
                return True

            wait_for(is_closed)
            connection.sendall(body)
            status, _, rest = connection.recv(65536).partition(b"\r\n")
            assert status == b"HTTP/1.1 200 OK"
            assert b'"prediction": 2' in rest
        assert server.process.wait(30) == 0


def test_tls_is_for_both_ports(store: Path, tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    files = ["--tls-cert", str(cert), "--tls-key", str(key)]
    with own_server(store, tmp_path, *files) as server:
        context = ssl.create_default_context(cafile=cert)
        connection = HTTPSConnection("127.0.0.1", server.port, context=context, timeout=30)
        with contextlib.closing(connection):
            connection.request("GET", "/health")
            assert connection.getresponse().status == 200
        address = f"127.0.0.1:{server.grpc_port}"
        with InferenceServerClient(address, ssl=True, root_certificates=str(cert)) as client:
            assert client.is_server_live()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workers", "0"], "--workers must be at least 1, got 0"),
        (["--tls-cert", "pyproject.toml"], "--tls-cert and --tls-key must be given together"),
        (["--tls-cert", "no.pem", "--tls-key", "no.pem"], "there is no file no.pem"),
        (
            ["--tls-cert", "pyproject.toml", "--tls-key", "README.md"],
            "pyproject.toml and README.md are not a certificate and its key: expected PEM files",
        ),
        (["--port", "65536"], "--port must be 0 to 65535, got 65536"),
        (["--grpc-port", "-1"], "--grpc-port must be 0 to 65535, got -1"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("serving.__main__.serve", lambda _: None)  # were they taken
    monkeypatch.setattr(sys, "argv", ["classifier-on-lambda", "serve", *arguments])
    with pytest.raises(SystemExit) as refused:
        main()
    assert refused.value.code == 2
    assert message in capsys.readouterr().err


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that signs itself, and its key, as PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return cert_file, key_file
