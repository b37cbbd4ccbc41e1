"""Static int8 quantisation in QDQ form, calibrated on training samples only."""

import logging
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from model_build.convert import INPUT_NAME
from model_build.optimise import EXTENDED, optimise

CALIBRATION_SAMPLES = 512


def quantise(source: Path, target: Path, calibration: NDArray[np.uint8]) -> dict[str, Any]:
    """Write an int8 version of an fp32 classifier; give what the manifest says of it.

    calibration: images uint8 [N, H, W] whose activations set the scales (min and max).

    Weights are int8 per channel and keep to 7 bits: CPUs without VNNI add pairs of products in
    16 bits and would saturate with 8, so that the same file answered differently on two of them
    (onnxruntime's own advice: `reduce_range`). The file is optimised afterwards, so that a cold
    start does not have to fuse it.
    """
    with tempfile.TemporaryDirectory() as folder:
        quantised = Path(folder) / "qdq.onnx"
        logger, level = logging.getLogger(), logging.getLogger().level
        logger.setLevel(logging.ERROR)  # it advises a pre-processing that was done
        quantize_static(
            source,
            quantised,
            _Batches(calibration),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            # Logits and probabilities stay float: eight bits would tie answers and cap confidence.
            op_types_to_quantize=["Conv", "MatMul", "Gemm", "MaxPool", "Relu"],
            extra_options={"OpTypesToExcludeOutputQuantization": ["MatMul", "Gemm"]},
        )
        logger.setLevel(level)
        optimise(quantised, target, EXTENDED)
    return {
        "method": "static",
        "format": "QDQ",
        "weights": "int8, 7 bits, per channel",
        "activations": "uint8",
        "calibration": {"method": "minmax", "samples": len(calibration)},
    }


class _Batches(CalibrationDataReader):  # type: ignore[misc] # onnxruntime has no types
    def __init__(self, images: NDArray[np.uint8], size: int = 64) -> None:
        self._batches = iter([images[at : at + size] for at in range(0, len(images), size)])

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        batch = next(self._batches, None)
        return None if batch is None else {INPUT_NAME: batch}
