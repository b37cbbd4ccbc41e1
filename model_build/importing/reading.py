"""Read a model file as an ONNX graph, with the weights that are kept beside it."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import ModelProto, NodeProto, TensorProto, external_data_helper, inliner

from model_build.errors import ImportRefused
from model_build.importing import conversion

# One protobuf message can't be longer. A function of 10,240 MB, Lambda's most, holds such a file
# and its session; what is published is compressed first.
MAX_BYTES = 2**31 - 2**20
_LFS = b"version https://git-lfs"
_DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}  # operators of the function's onnxruntime
_QUANTISED = {  # by operators; the first that matches one
    "QOperator": re.compile("QLinear|QGemm|QAttention|DynamicQuantize|.*Integer"),
    "MatMulNBits": re.compile("MatMulNBits"),
    "QDQ": re.compile("QuantizeLinear|DequantizeLinear"),
}


@dataclass(frozen=True)
class Source:
    """A graph, and the files that it was read from: the model's own first, then its weights'.

    note: on how another framework's file was converted.
    """

    model: ModelProto
    files: list[Path]
    note: str = ""

    @property
    def lineage(self) -> list[dict[str, str]]:
        """Name and sha256 of each file, for the manifest's lineage."""
        return [{"file": path.name, "sha256": _sha256(path)} for path in self.files]


def read(path: Path, size: tuple[int, int] | None = None) -> Source:
    """Read a model whose operators the function's onnxruntime has; raises ImportRefused.

    A file of another framework is converted; size: of its pictures, where it leaves them open.
    """
    if not path.exists():
        raise ImportRefused(f"{path} is not a file; expected an ONNX model")
    if conversion.is_foreign(path):
        content, note = conversion.convert(path, size)
        files = (
            [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file())
        )
        return Source(onnx.load_from_string(content), files, note)
    try:
        model = onnx.load(path, load_external_data=False)
    except DecodeError as error:
        raise ImportRefused(_not_onnx(path)) from error
    if not model.graph.node or not model.opset_import:
        raise ImportRefused(_not_onnx(path))
    files = [path, *_weight_files(model, path.parent)]
    total = sum(file.stat().st_size for file in files if file.is_file())
    if total > MAX_BYTES:
        raise ImportRefused(
            f"model must be at most {MAX_BYTES // 2**20:,} MiB, got {total / 2**20:,.0f} MiB; "
            "export it in float16, or distil or prune it first"
        )
    try:
        onnx.load_external_data_for_model(model, str(path.parent))
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise ImportRefused(
            f"{path} refers to weight files that can't be read ({first_line(error)}); put them "
            "next to it, or export the model as one file"
        ) from error
    if model.functions:
        model = inliner.inline_local_functions(model)
    _check_domains(model)
    return Source(model, files)


def quantised_format(model: ModelProto) -> str | None:
    """Return how a model's file is quantised: QDQ, QOperator or MatMulNBits; None if it is not."""
    operators = {node.op_type for node in model.graph.node}
    return next((name for name, one in _QUANTISED.items() if any(map(one.match, operators))), None)


def opset(model: ModelProto) -> int:
    """Return the version of the standard operators, 0 if the model has only others."""
    return next(
        (entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0
    )


def label(node: NodeProto) -> str:
    """Name a node in a sentence: its operator, and its own name if it has one."""
    return f"{node.op_type} {node.name!r}" if node.name else node.op_type


def first_line(error: Exception) -> str:
    """Shorten an exception of onnx or onnxruntime to one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]


def _not_onnx(path: Path) -> str:
    with path.open("rb") as file:
        if file.read(len(_LFS)) == _LFS:
            return f"{path} is a Git LFS pointer, not the model; fetch that with git lfs pull"
    return f"{path} is not an ONNX file; export the model as ONNX"


def _weight_files(model: ModelProto, folder: Path) -> list[Path]:
    names = [
        external_data_helper.ExternalDataInfo(tensor).location
        for tensor in [*model.graph.initializer, *_constants(model)]
        if external_data_helper.uses_external_data(tensor)
    ]
    return [folder / name for name in dict.fromkeys(names)]


def _constants(model: ModelProto) -> list[TensorProto]:
    return [attribute.t for node in model.graph.node for attribute in node.attribute]


def _check_domains(model: ModelProto) -> None:
    foreign = [node for node in model.graph.node if node.domain not in _DOMAINS]
    if foreign:
        domains = ", ".join(sorted({node.domain for node in foreign}))
        raise ImportRefused(
            f"the model uses operators of {domains}, such as {label(foreign[0])}, which the "
            "function does not have; export it with standard operators only"
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
