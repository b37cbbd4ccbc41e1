"""Convert models of Keras, TensorFlow and PyTorch, where this Python has the framework.

Each conversion is proved: framework and ONNX answer the same pictures of noise.
"""

import functools
import importlib
import subprocess
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from model_build.errors import ImportRefused

type Arrays = list[NDArray[Any]]
type Size = tuple[int, int] | None

PARITY = 1e-3  # largest difference of an output, relative to the outputs' own size
_PARITY_OF_INTEGERS = 0.02  # five steps of 256: the runtimes round between layers in other ways
_OPSET = 17
_PICTURES = 2
_WEIGHTS_ALONE = (
    "holds weights without their network; build the network in Python, load them into it, and type "
    "torch.onnx.export(network.eval(), (torch.zeros(1, 3, 224, 224),), 'my.onnx')"
)
_LINES = {  # what to type for files that are never loaded here
    ".pb": "python -m tf2onnx.convert --graphdef {name} --inputs X:0 --outputs Y:0 --output "
    "my.onnx",
    ".mlmodel": "onnx.save(onnxmltools.convert_coreml(coremltools.utils.load_spec({name!r})), "
    "'my.onnx')",
    **dict.fromkeys(
        (".pkl", ".pickle", ".joblib", ".sav"),
        "skl2onnx.to_onnx(model, samples[:1].astype('float32')).SerializeToString(), and write "
        "that to my.onnx",
    ),
}


class Converted(NamedTuple):
    """An ONNX file's content, and a sentence on how it came about."""

    content: bytes
    note: str


class _Format(NamedTuple):
    name: str
    packages: tuple[str, ...]
    line: str  # that converts it by hand
    convert: Callable[[Path, Path, Size], tuple[Arrays, Arrays]]


def is_foreign(path: Path) -> bool:
    """Whether a path is another framework's model; raises ImportRefused for what can't be used."""
    if path.is_file() and path.suffix.lower() in _LINES:
        line = _LINES[path.suffix.lower()].format(name=str(path))
        raise ImportRefused(f"{path} is not an ONNX file; convert it first: {line}")
    if path.suffix.lower() in (".safetensors", ".ckpt") and path.is_file():
        raise ImportRefused(f"{path} {_WEIGHTS_ALONE}")
    return _format_of(path) is not None


def convert(path: Path, size: Size) -> Converted:
    """Convert a foreign model; size: of its pictures, where the file leaves it open.

    Raises ImportRefused, with what to type elsewhere, if the framework is missing or fails.
    """
    newest = max((file.stat().st_mtime_ns for file in [path, *path.glob("**/*")]), default=0)
    return _convert(path, size, newest)


@functools.lru_cache(maxsize=1)  # a file is described, then adopted
def _convert(path: Path, size: Size, _changed: int) -> Converted:
    form = _format_of(path)
    assert form is not None
    line = form.line.format(name=path.name, packages=" ".join(form.packages))
    for package in form.packages:
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise ImportRefused(
                f"{path} is a {form.name}, and this Python has no {package} to convert it; type "
                f"where it is installed: {line}"
            ) from error
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the frameworks' own
        target = Path(folder) / "converted.onnx"
        try:
            theirs, batch = form.convert(path, target, size)
        except ImportRefused:
            raise
        except Exception as error:  # of any class: the frameworks' own
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            raise ImportRefused(
                f"{path} could not be converted from a {form.name} ({reason}); type yourself: "
                f"{line}"
            ) from error
        session = ort.InferenceSession(target, providers=["CPUExecutionProvider"])
        names = [value.name for value in session.get_inputs()]
        ours = session.run(None, dict(zip(names, batch, strict=True)))
        difference = _difference(theirs, ours)
        are_floats = all(one.dtype.kind == "f" for one in theirs)
        parity = PARITY if are_floats else _PARITY_OF_INTEGERS
        if not difference <= parity:
            raise ImportRefused(
                f"{path} answers differently once converted (by {difference:.1e} of its outputs' "
                f"size, over {parity:.0e}); type yourself: {line}"
            )
        note = f"converted from a {form.name}: outputs differ by at most {difference:.1e}"
        return Converted(_in_one_file(target), note)


def _format_of(path: Path) -> _Format | None:
    if path.is_dir():
        if not (path / "saved_model.pb").is_file():
            raise ImportRefused(
                f"{path} is a folder without a saved_model.pb; expected an ONNX file, or a "
                "TensorFlow SavedModel"
            )
        return _SAVED_MODEL
    if path.suffix.lower() in (".keras", ".h5", ".hdf5"):
        return _KERAS
    if path.suffix.lower() == ".tflite":
        return _TFLITE
    if path.is_file() and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = [name.rpartition("/")[2] for name in archive.namelist()]
        if "constants.pkl" in names:
            return _TORCH_SCRIPT
        if "archive_format" in names or "serialized_exported_program.json" in names:
            return _TORCH_EXPORT
        if "data.pkl" in names:
            raise ImportRefused(f"{path} {_WEIGHTS_ALONE}")
    return None


def _keras(path: Path, target: Path, size: Size) -> tuple[Arrays, Arrays]:
    import keras  # noqa: PLC0415 - seconds, for this format alone

    class DepthwiseConv2D(keras.layers.DepthwiseConv2D):  # type: ignore[misc]
        """Without the `groups` that Keras 2 wrote, always 1, and that Keras 3 refuses."""

        def __init__(self, groups: int = 1, **settings: Any) -> None:
            assert groups == 1
            super().__init__(**settings)

    known = {"DepthwiseConv2D": DepthwiseConv2D}
    model = keras.saving.load_model(path, custom_objects=known, compile=False)
    sides = _sized([*model.inputs[0].shape[1:]], size, path)
    batch = _noise(sides, model.inputs[0].dtype)
    theirs = model(batch, training=False)
    model.export(target, format="onnx", verbose=False)
    outputs = theirs if isinstance(theirs, list | tuple) else [theirs]
    return [keras.ops.convert_to_numpy(one) for one in outputs], [batch]


def _saved_model(path: Path, target: Path, size: Size) -> tuple[Arrays, Arrays]:
    import tensorflow as tf  # noqa: PLC0415 - see above

    signature = tf.saved_model.load(str(path)).signatures["serving_default"]
    ((name, spec),) = signature.structured_input_signature[1].items()
    batch = _noise(_sized([*spec.shape[1:]], size, path), spec.dtype.name)
    theirs = signature(**{name: tf.constant(batch)})
    _tf2onnx("--saved-model", path, target)
    order = [one.name for one in ort.InferenceSession(target).get_outputs()]
    return [theirs[one].numpy() for one in order], [batch]


def _tflite(path: Path, target: Path, size: Size) -> tuple[Arrays, Arrays]:
    import tensorflow as tf  # noqa: PLC0415 - see above

    interpreter = tf.lite.Interpreter(str(path))
    (given,) = interpreter.get_input_details()
    sides = [None if side < 0 else int(side) for side in given["shape_signature"][1:]]
    batch = _noise(_sized(sides, size, path), given["dtype"])[:1]  # its batch is often fixed
    interpreter.resize_tensor_input(given["index"], batch.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(given["index"], batch)
    interpreter.invoke()
    _tf2onnx("--tflite", path, target)
    return [interpreter.get_tensor(one["index"]) for one in interpreter.get_output_details()], [
        batch
    ]


def _tf2onnx(kind: str, path: Path, target: Path) -> None:
    command = ["tf2onnx.convert", kind, str(path), "--output", str(target)]
    ran = subprocess.run(  # noqa: S603 - this Python
        [sys.executable, "-m", *command, "--opset", str(_OPSET)],
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        raise RuntimeError(ran.stderr.strip().splitlines()[-1])


def _torch_export(path: Path, target: Path, _: Size) -> tuple[Arrays, Arrays]:
    import torch  # type: ignore[import-not-found] # noqa: PLC0415 - see above

    program = torch.export.load(str(path))
    given = [*program.example_inputs[0]] if program.example_inputs else []
    if len(given) != 1:
        raise ImportRefused(f"{path} must have one example input, a picture, got {len(given)}")
    with torch.no_grad():
        theirs = program.module()(given[0])
    torch.onnx.export(program, f=str(target), dynamo=True, verbose=False, external_data=False)
    return _of_torch(theirs), [given[0].numpy()]


def _torch_script(path: Path, target: Path, size: Size) -> tuple[Arrays, Arrays]:
    import torch  # noqa: PLC0415 - see above

    module = torch.jit.load(str(path), map_location="cpu").eval()
    kernels = [values for values in module.state_dict().values() if values.ndim == 4]
    channels = kernels[0].shape[1] if kernels else 3
    batch = _noise(_sized([int(channels), None, None], size, path), "float32")[:1]
    with torch.no_grad():
        theirs = module(torch.from_numpy(batch))
    torch.onnx.export(
        module,
        (torch.from_numpy(batch),),
        str(target),
        dynamo=False,
        opset_version=_OPSET,
        input_names=["image"],
        dynamic_axes={"image": {0: "N"}},
    )
    return _of_torch(theirs), [batch]


def _of_torch(outputs: Any) -> Arrays:
    return [one.numpy() for one in (outputs if isinstance(outputs, list | tuple) else [outputs])]


def _sized(sides: list[Any], size: Size, path: Path) -> list[int]:
    """Fill the open height and width of [H, W, C] or [C, H, W]."""
    if None not in sides:
        return [int(side) for side in sides]
    if size is None:
        raise ImportRefused(
            f"{path} does not say how large its pictures are; say it, as in --size 224x224"
        )
    remaining = iter(size)
    return [next(remaining) if side is None else int(side) for side in sides]


def _noise(sides: list[int], dtype: str) -> NDArray[Any]:
    numbers = np.random.default_rng(0).random((_PICTURES, *sides), dtype=np.float32)
    if np.dtype(dtype).kind not in "iu":
        return numbers.astype(dtype)
    return (numbers * 255 + max(np.iinfo(dtype).min, -128)).astype(dtype)


def _difference(theirs: Arrays, ours: Arrays) -> float:
    """Largest difference between outputs, relative to the largest number among them."""
    if [one.shape for one in theirs] != [np.shape(one) for one in ours]:
        return float("inf")
    pairs = zip(theirs, ours, strict=True)
    return max(
        float(np.abs(one - other).max() / max(1.0, float(np.abs(one).max())))
        for one, other in (np.asarray(pair, np.float64) for pair in pairs)
    )


def _in_one_file(path: Path) -> bytes:
    content: bytes = onnx.load(path).SerializeToString()
    return content


_KERAS = _Format(
    "Keras model",
    ("keras", "tf2onnx"),
    "python -c \"import keras; keras.saving.load_model({name!r}).export('my.onnx', "
    "format='onnx')\"",
    _keras,
)
_SAVED_MODEL = _Format(
    "TensorFlow SavedModel",
    ("tensorflow", "tf2onnx"),
    "python -m tf2onnx.convert --saved-model {name} --output my.onnx --opset 17",
    _saved_model,
)
_TFLITE = _Format(
    "TensorFlow Lite model",
    ("tensorflow", "tf2onnx"),
    "python -m tf2onnx.convert --tflite {name} --output my.onnx --opset 17",
    _tflite,
)
_TORCH_EXPORT = _Format(
    "torch.export program",
    ("torch", "onnxscript"),
    "python -c \"import torch; torch.onnx.export(torch.export.load({name!r}), f='my.onnx', "
    'dynamo=True)"',
    _torch_export,
)
_TORCH_SCRIPT = _Format(
    "TorchScript module",
    ("torch",),
    'python -c "import torch; torch.onnx.export(torch.jit.load({name!r}), torch.zeros(1, 3, 224, '
    "224), 'my.onnx', dynamo=False)\"",
    _torch_script,
)
