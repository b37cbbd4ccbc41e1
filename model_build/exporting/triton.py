"""A version as a model in a repository of the Triton Inference Server.

Sources: the model repository and the model configuration of Triton's user guide; the text format of
https://protobuf.dev/reference/protobuf/textformat-spec/
"""

import json

from classifier.http import MAX_IMAGES
from classifier.model.manifest import Manifest
from model_build.errors import ExportRefused
from model_build.exporting.folder import Files

LABELS = "labels.txt"
_TYPES = {"uint8": "TYPE_UINT8", "float32": "TYPE_FP32"}


def files(manifest: Manifest, model: bytes) -> Files:
    """Files of the model's folder, with the model as version 1.

    Raises ExportRefused for labels that a file with one label per line can't hold.
    """
    labels = [str(label) for label in manifest.output.labels]
    for label in labels:
        if label.splitlines() != [label]:
            raise ExportRefused(
                f"Triton reads one label per line; expected a label of one line, got {label!r}"
            )
    return {
        "config.pbtxt": _configuration(manifest).encode(),
        LABELS: "".join(f"{label}\n" for label in labels).encode(),
        "1/model.onnx": model,
    }


def _configuration(manifest: Manifest) -> str:
    """Model configuration in protobuf's text format; its dims are those of one sample."""
    source, output = manifest.input, manifest.output
    return f"""# {manifest.name} {manifest.version}
name: {_text(manifest.name)}
backend: "onnxruntime"
max_batch_size: {MAX_IMAGES}
input {{
  name: {_text(source.name)}
  data_type: {_TYPES[source.dtype]}
  dims: {list(source.shape)}
}}
output {{
  name: {_text(output.name)}
  data_type: TYPE_FP32
  dims: [{len(output.labels)}]
  label_filename: {_text(LABELS)}
}}
# Requests that wait are run together; none waits to be joined by another.
dynamic_batching {{ }}
parameters {{
  key: "store_version"
  value {{ string_value: {_text(manifest.version)} }}
}}
"""


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)
