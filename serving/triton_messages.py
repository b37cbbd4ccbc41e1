"""Messages of Triton's calls that the Open Inference Protocol's stubs lack.

Source: https://github.com/triton-inference-server/common, protobuf/grpc_service.proto and
model_config.proto. Fields that no answer here has are left out.
"""

from typing import Any

from google.protobuf import (  # type: ignore[import-untyped]
    descriptor_pb2,
    descriptor_pool,
    message_factory,
)

SERVICE = "inference.GRPCInferenceService"
CALLS = ("ModelConfig", "ModelStatistics")

_DATA_TYPES = {"TYPE_INVALID": 0, "TYPE_UINT8": 2, "TYPE_FP32": 11}
_TYPES = {"string": 9, "int32": 5, "int64": 3, "uint64": 4}  # of FieldDescriptorProto
_MESSAGE, _ENUM = 11, 14
_PARTS = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output")
_FIELDS: dict[str, dict[str, tuple[int, str]]] = {  # number and type; a list's has [] after it
    "ModelConfigRequest": {"name": (1, "string"), "version": (2, "string")},
    "ModelConfigResponse": {"config": (1, "ModelConfig")},
    "ModelConfig": {
        "name": (1, "string"),
        "platform": (2, "string"),
        "max_batch_size": (4, "int32"),
        "input": (5, "ModelInput[]"),
        "output": (6, "ModelOutput[]"),
        "backend": (17, "string"),
    },
    "ModelInput": {"name": (1, "string"), "data_type": (2, "DataType"), "dims": (4, "int64[]")},
    "ModelOutput": {"name": (1, "string"), "data_type": (2, "DataType"), "dims": (3, "int64[]")},
    "ModelStatisticsRequest": {"name": (1, "string"), "version": (2, "string")},
    "ModelStatisticsResponse": {"model_stats": (1, "ModelStatistics[]")},
    "ModelStatistics": {
        "name": (1, "string"),
        "version": (2, "string"),
        "last_inference": (3, "uint64"),
        "inference_count": (4, "uint64"),
        "execution_count": (5, "uint64"),
        "inference_stats": (6, "InferStatistics"),
        "batch_stats": (7, "InferBatchStatistics[]"),
    },
    "InferStatistics": {
        part: (number, "StatisticDuration") for number, part in enumerate(_PARTS, 1)
    },
    "InferBatchStatistics": {
        "batch_size": (1, "uint64"),
        "compute_infer": (3, "StatisticDuration"),
    },
    "StatisticDuration": {"count": (1, "uint64"), "ns": (2, "uint64")},
}


def _classes() -> dict[str, Any]:
    """Message classes by name, in a pool of their own: another package may have the same names."""
    file = descriptor_pb2.FileDescriptorProto(name="triton.proto", package="inference")
    file.syntax = "proto3"
    enum = file.enum_type.add(name="DataType")
    for name, number in _DATA_TYPES.items():
        enum.value.add(name=name, number=number)
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            base = kind.removesuffix("[]")
            added = message.field.add(name=field, number=number, label=1 if base == kind else 3)
            added.type = _TYPES.get(base, _ENUM if base == "DataType" else _MESSAGE)
            if base not in _TYPES:
                added.type_name = f".inference.{base}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"inference.{name}"))
        for name in _FIELDS
    }


MESSAGES = _classes()
