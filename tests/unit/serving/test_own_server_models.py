"""`classifier-on-lambda serve` under load: more models than fit, and versions being promoted."""

import contextlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.http import InferenceServerClient  # type: ignore[import-untyped]

from tests.support.own_server import OwnServer, own_server, wait_for
from tests.support.sure_models import Sure, publish

NAMES = ("mnist", "clothes", "letters")
TENSOR = {"name": "image", "shape": [1, 28, 28], "datatype": "UINT8", "data": [0] * 784}
BODY = json.dumps({"inputs": [TENSOR]}).encode()
HIDDEN = 2_000  # 6 MB a model

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def three(store: Path) -> dict[str, Sure]:
    return {
        name: publish(store, name, winner, 0.5 + winner / 10, hidden=HIDDEN)
        for winner, name in enumerate(NAMES)
    }


@pytest.fixture(scope="module")
def server(
    store: Path, three: dict[str, Sure], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OwnServer]:
    """All three, with memory for two."""
    room = 2.5 * 2 * three["mnist"].bytes / 2**20
    variables = {"MODEL_NAME": ",".join(NAMES), "MODEL_MEMORY_MB": str(room)}
    with own_server(store, tmp_path_factory.mktemp("server"), **variables) as running:
        yield running


def infer(server: OwnServer, name: str) -> tuple[str, float]:
    """Version that answered, and its largest probability."""
    status, text = server.send("POST", f"/v2/models/{name}/infer", BODY, "application/json")
    assert status == 200, text
    answer = json.loads(text)
    return answer["model_version"], round(float(np.max(answer["outputs"][0]["data"])), 3)


def megabytes(server: OwnServer) -> float:
    (worker,) = server.workers()
    pages = int(Path(f"/proc/{worker}/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def test_more_models_than_fit_answer_and_memory_stays(
    server: OwnServer, three: dict[str, Sure]
) -> None:
    """Nine tenths of what is loaded, at least, takes the place of what was loaded before."""

    def ask(name: str) -> None:
        assert infer(server, name) == (three[name].version, three[name].probability)

    with ThreadPoolExecutor(3) as clients:
        list(clients.map(ask, NAMES * 4))
        before = megabytes(server)
        list(clients.map(ask, NAMES * 40))
    loaded = 120 * 2 * three["mnist"].bytes / 2**20
    assert megabytes(server) - before < loaded / 10
    status, text = server.send("POST", "/v2/repository/index")
    assert status == 200
    assert sum(model["state"] == "READY" for model in json.loads(text)) == 2


def test_tritons_client_loads_and_unloads(server: OwnServer, three: dict[str, Sure]) -> None:
    with contextlib.closing(InferenceServerClient(f"127.0.0.1:{server.port}")) as client:
        client.load_model("clothes")
        assert client.is_model_ready("clothes")
        client.unload_model("clothes")
        assert not client.is_model_ready("clothes")
        states = {model["name"]: model for model in client.get_model_repository_index()}
        assert states["clothes"]["state"] == "UNAVAILABLE"
        client.load_model("clothes")
        assert client.is_model_ready("clothes")


def test_metrics_are_by_model(server: OwnServer) -> None:
    for name in NAMES:
        infer(server, name)
    _, text = server.get("/metrics")
    for winner, name in enumerate(NAMES):
        assert f'classifier_predictions_total{{label="{winner}",model="{name}"}}' in text


def test_ready_is_by_model(server: OwnServer) -> None:
    """Though without a model the server answers at once, by itself."""
    for name in NAMES:
        status, text = server.get(f"/ready?model={name}")
        assert (status, json.loads(text)["model"]["name"]) == (200, name)


def test_a_promoted_version_is_served_under_load(tmp_path: Path) -> None:
    """Four clients over four promotions: each answer is that of the version it names."""
    store = tmp_path / "store"
    published = [publish(store, "mnist", 1, 0.6)]
    answers: list[tuple[str, float]] = []
    with own_server(store, tmp_path, MODEL_REFRESH_SECONDS="0.02") as running:

        def ask(_: Any) -> None:
            answers.append(infer(running, "mnist"))

        with ThreadPoolExecutor(4) as clients:
            list(clients.map(ask, range(20)))
            for step in range(2, 6):
                sure = publish(store, "mnist", step, round(0.6 + step / 50, 3))
                published.append(sure)

                def serves(version: str = sure.version) -> bool:
                    list(clients.map(ask, range(8)))
                    return answers[-1][0] == version

                wait_for(serves)
        text = running.get("/metrics")[1]
    assert set(answers) == {(sure.version, sure.probability) for sure in published}
    for sure in published:
        value = int(sure == published[-1])
        line = f'classifier_model_info{{name="mnist",version="{sure.version}"}} {value}.0'
        assert line in text
