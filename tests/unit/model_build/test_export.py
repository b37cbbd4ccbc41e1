import re
from pathlib import Path
from typing import Any

import onnx
import pytest
import yaml
from google.protobuf import text_format  # type: ignore[import-untyped]
from onnx import TensorProto
from tritonclient.grpc import model_config_pb2  # type: ignore[import-untyped]

from classifier.model.manifest import Manifest
from model_build.errors import ExportRefused
from model_build.exporting import folder, kserve, triton
from model_build.store.model_store import ModelStore
from tests.support.command_line import Run
from tests.support.manifests import describe

IN_S3 = "s3://models/all"
TYPES = {TensorProto.UINT8: "TYPE_UINT8", TensorProto.FLOAT: "TYPE_FP32"}


def manifest_with(**parts: Any) -> Manifest:
    """Manifest in whose sections some members are replaced."""
    document = describe(b"model")
    for section, members in parts.items():
        document[section] = document[section] | members
    return Manifest.from_document(document)


def configuration(manifest: Manifest) -> model_config_pb2.ModelConfig:
    """config.pbtxt as Triton reads it: strictly, by its own definition of the message."""
    text = triton.files(manifest, b"model")["config.pbtxt"].decode()
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def inference_service(manifest: Manifest, **options: str) -> dict[str, Any]:
    given = {"image": "mnist-serving", "service_account": "", "triton": ""} | options
    store = given.pop("store", IN_S3)
    text = kserve.files(manifest, store, **given)["inference-service.yaml"]
    document: dict[str, Any] = yaml.safe_load(text)
    return document


def test_a_triton_repository_describes_the_model_that_it_holds(
    run: Run, model_store: Path, tmp_path: Path, classifier: bytes
) -> None:
    target = tmp_path / "repository"
    store = model_store.as_uri()
    code, out, err = run("export", "production", "--to", "triton", target, "--store", store)
    assert (code, err) == (0, "")
    written = [
        f"mnist/{path}" for path in ("config.pbtxt", "labels.txt", "1/model.onnx", "card.md")
    ]
    assert out.splitlines() == [f"wrote {target / path}" for path in written]
    assert sorted(str(path.relative_to(target)) for path in target.rglob("*.*")) == sorted(written)
    assert (target / "mnist/1/model.onnx").read_bytes() == classifier
    assert (target / "mnist/labels.txt").read_text().splitlines() == [str(n) for n in range(10)]

    config = text_format.Parse(
        (target / "mnist/config.pbtxt").read_text(), model_config_pb2.ModelConfig()
    )
    graph = onnx.load_from_string(classifier).graph
    for tensors, described in ((graph.input, config.input), (graph.output, config.output)):
        assert [(one.name, one.data_type, list(one.dims)) for one in described] == [
            (
                one.name,
                model_config_pb2.DataType.Value(TYPES[one.type.tensor_type.elem_type]),
                [axis.dim_value for axis in one.type.tensor_type.shape.dim][1:],
            )
            for one in tensors
        ]
    assert (config.name, config.backend, config.max_batch_size) == ("mnist", "onnxruntime", 32)
    assert config.output[0].label_filename == "labels.txt"
    assert config.HasField("dynamic_batching")
    version = ModelStore(store).resolve("mnist", "production")
    assert config.parameters["store_version"].string_value == version


def test_triton_gets_the_input_that_the_manifest_states() -> None:
    shape = ["N", 3, 224, 224]
    config = configuration(
        manifest_with(
            input={"name": 'a "quoted" \\ näme', "dtype": "float32", "shape": shape},
            output={"name": "Identity:0", "labels": ["cat", "dog"]},
        )
    )
    assert config.input[0].name == 'a "quoted" \\ näme'
    assert config.input[0].data_type == model_config_pb2.TYPE_FP32
    assert list(config.input[0].dims) == [3, 224, 224]
    assert config.output[0].name == "Identity:0"
    assert list(config.output[0].dims) == [2]


@pytest.mark.parametrize("label", ["", "cat\ndog", "cat\n"])
def test_labels_that_would_shift_the_others_are_refused(label: str) -> None:
    manifest = manifest_with(output={"labels": ["mouse", label]})
    with pytest.raises(ExportRefused, match=f"of one line, got {re.escape(repr(label))}"):
        triton.files(manifest, b"model")


def test_the_server_gets_the_version_and_not_the_channel(
    run: Run, s3_url: str, tmp_path: Path
) -> None:
    store = ModelStore(s3_url)
    version = store.publish(describe(b"model"), b"model").version
    store.promote("mnist", version, "production")
    arguments = ("production", "--to", "kserve", tmp_path, "--store", f"{s3_url}/")
    own = ("--image", "registry.example/mnist:1", "--service-account", "reader")
    code, out, err = run("export", *arguments, *own)
    file = tmp_path / "mnist" / "inference-service.yaml"
    card = tmp_path / "mnist" / "card.md"
    assert (code, out, err) == (0, f"wrote {file}\nwrote {card}\n", "")
    assert f"# mnist {version}" in card.read_text()
    document = yaml.safe_load(file.read_text())
    assert document["metadata"]["name"] == "mnist"
    predictor = document["spec"]["predictor"]
    assert predictor["serviceAccountName"] == "reader"
    (server,) = predictor["containers"]
    assert server["image"] == "registry.example/mnist:1"
    assert {one["name"]: one["value"] for one in server["env"]} == {
        "MODEL_STORE_URL": s3_url,
        "MODEL_NAME": "mnist",
        "MODEL_VERSION": version,
    }


def test_triton_serves_an_uploaded_repository_by_protocol_version_2() -> None:
    predictor = inference_service(manifest_with(), triton="s3://models/triton/")["spec"][
        "predictor"
    ]
    assert predictor == {
        "minReplicas": 1,
        "model": {
            "runtime": "kserve-tritonserver",
            "modelFormat": {"name": "onnx"},
            "protocolVersion": "v2",
            "storageUri": "s3://models/triton",
        },
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mnist", "mnist"),
        ("Fashion_MNIST.v2", "fashion-mnist-v2"),
        ("7-segments", "model-7-segments"),
        ("pets.", "pets"),
        ("on", "on"),
        (39 * "n" + "-tail", 39 * "n"),
    ],
)
def test_a_service_has_a_name_that_kubernetes_takes(name: str, expected: str) -> None:
    document = describe(b"model", name=name)
    assert inference_service(Manifest.from_document(document))["metadata"]["name"] == expected


@pytest.mark.parametrize(
    "options", [{"store": "file:///models"}, {"triton": "file:///models"}], ids=["store", "triton"]
)
def test_a_folder_on_this_machine_can_t_be_served_by_a_cluster(options: dict[str, str]) -> None:
    with pytest.raises(ExportRefused, match="pods can't read file:///models; expected s3://"):
        inference_service(manifest_with(), **options)


def test_an_export_never_overwrites(run: Run, model_store: Path, tmp_path: Path) -> None:
    arguments = ("production", "--to", "triton", tmp_path / "out", "--store", model_store.as_uri())
    assert run("export", *arguments)[0] == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    code, out, err = run("export", *arguments)
    assert (code, out) == (1, "")
    assert f"{tmp_path / 'out' / 'mnist'} exists; remove it, or export to another directory" in err
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before


def test_a_folder_that_appears_meanwhile_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "exists", lambda _path: False)
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "config.pbtxt").write_text("theirs")
    with pytest.raises(ExportRefused, match=r"mnist can't be written: .*not empty"):
        folder.write(tmp_path / "mnist", {"config.pbtxt": b"ours"})
    assert [path.read_text() for path in tmp_path.rglob("*.*")] == ["theirs"]


def test_a_failed_export_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"config.pbtxt": b"config", "config.pbtxt/model.onnx": b"model"}
    with pytest.raises(ExportRefused, match=r"mnist can't be written: .*config.pbtxt"):
        folder.write(tmp_path / "mnist", files)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_a_file_is_refused_at_once(
    run: Run, model_store: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").write_text("")
    code, _, err = run(
        "export", "production", "--to", "triton", tmp_path / "out", "--store", model_store.as_uri()
    )
    assert code == 2
    assert "is a file" in " ".join(err.replace("│", " ").split())


def test_options_of_kserve_are_refused_for_triton(
    run: Run, model_store: Path, tmp_path: Path
) -> None:
    arguments = ("production", "--to", "triton", tmp_path, "--store", model_store.as_uri())
    code, _, err = run("export", *arguments, "--triton-repository", IN_S3)
    assert code == 2
    assert "require --to kserve" in " ".join(err.replace("│", " ").split())
