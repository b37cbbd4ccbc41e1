from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from model_build.quantise.arithmetic import asymmetric, dequantise, quantise, symmetric

WORKED = np.array([-0.9, 1.2, 3.4, 0.2, -2.5], np.float32)
TINY = float(np.finfo(np.float32).tiny)

magnitudes = st.sampled_from([float(np.float32(one)) for one in (1e-30, 1e-3, 1, 255, 1e20)])
tensors = magnitudes.flatmap(
    lambda limit: arrays.arrays(
        np.float32,
        arrays.array_shapes(min_dims=1, max_dims=4, max_side=5),
        elements=st.floats(-limit, limit, width=32),
    )
)
bit_widths = st.integers(2, 8)
per_axis = st.booleans()


def test_the_worked_example_comes_out_as_computed_by_hand() -> None:
    quantised, scale = symmetric(WORKED)
    assert scale == np.float32(3.4) / np.float32(127)
    assert scale.dtype == np.float32
    assert quantised.dtype == np.int8
    assert quantised.tolist() == [-34, 45, 127, 7, -93]


@given(tensors, bit_widths, per_axis)
def test_symmetric_gives_what_onnxruntime_gives(
    values: NDArray[np.float32],
    bits: int,
    per_axis: bool,  # noqa: FBT001 - drawn
) -> None:
    """Element by element, with the same float32 scale."""
    axis = values.ndim - 1 if per_axis else None
    quantised, scale = symmetric(values, bits, axis=axis)
    assert scale.shape == ((values.shape[-1],) if per_axis else ())
    zero_point = np.zeros(scale.shape, np.int8)
    steps, restored = _onnxruntime(values, scale, zero_point, axis)
    assert np.array_equal(quantised, steps)
    assert np.array_equal(dequantise(quantised, scale, axis=axis), restored)


@given(tensors)
def test_asymmetric_gives_what_onnxruntime_gives(values: NDArray[np.float32]) -> None:
    quantised, scale, zero_point = asymmetric(values)
    steps, restored = _onnxruntime(values, scale, np.asarray(zero_point), None)
    assert np.array_equal(quantised, steps)
    assert np.array_equal(dequantise(quantised, scale, zero_point), restored)


@given(tensors)
def test_asymmetric_chooses_scale_and_zero_point_as_dynamic_quantisation_does(
    values: NDArray[np.float32],
) -> None:
    assume(np.ptp([*values.ravel(), 0]) > TINY * 1e6)
    quantised, scale, zero_point = asymmetric(values)
    node = helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero_point"])
    steps, found_scale, found_zero_point = _run([node], ["q", "scale", "zero_point"], values, [])
    assert found_scale == scale
    assert found_zero_point == zero_point
    assert np.array_equal(quantised, steps)


@given(
    tensors,
    magnitudes,
    st.integers(-128, 127),
    st.sampled_from([np.int8, np.uint8]),
)
def test_values_outside_of_the_range_saturate_as_in_onnxruntime(
    values: NDArray[np.float32], scale: float, zero_point: int, kind: type[Any]
) -> None:
    given_scale = np.float32(scale) / np.float32(100)
    offset = np.asarray(zero_point if kind is np.int8 else zero_point + 128, kind)
    with np.errstate(over="ignore"):
        assume(np.isfinite(values / given_scale).all())
    steps, _ = _onnxruntime(values, np.asarray(given_scale), offset, None)
    assert np.array_equal(quantise(values, given_scale, offset), steps)


@given(tensors, bit_widths, per_axis)
def test_the_error_of_symmetric_keeps_to_its_bound(
    values: NDArray[np.float32],
    bits: int,
    per_axis: bool,  # noqa: FBT001 - drawn
) -> None:
    axis = 0 if per_axis else None
    quantised, scale = symmetric(values, bits, axis=axis)
    error = np.abs(values.astype(np.float64) - dequantise(quantised, scale, axis=axis))
    steps = scale.reshape(-1, *[1] * (values.ndim - 1)) if per_axis else scale
    assert (error <= steps.astype(np.float64) * (0.5 + 2.0 ** (bits - 23))).all()


@given(tensors, bit_widths)
def test_the_error_of_asymmetric_keeps_to_its_bound(values: NDArray[np.float32], bits: int) -> None:
    quantised, scale, zero_point = asymmetric(values, bits)
    error = np.abs(values.astype(np.float64) - dequantise(quantised, scale, zero_point))
    assert (error <= float(scale) * (0.5 + 2.0 ** (bits - 23))).all()


@given(tensors, bit_widths)
def test_steps_stay_in_the_range_of_their_bits_and_zero_stays_exact(
    values: NDArray[np.float32], bits: int
) -> None:
    signed, scale = symmetric(values, bits)
    high = 2 ** (bits - 1) - 1
    assert -high <= signed.min() <= signed.max() <= high
    if np.abs(values).max() > TINY * high:
        assert np.abs(signed).max() == high, "the largest value takes the outermost step"
    unsigned, _, zero_point = asymmetric(values, bits)
    assert unsigned.max() <= 2**bits - 1
    assert (signed[values == 0] == 0).all()
    assert (unsigned[values == 0] == zero_point).all()
    assert dequantise(quantise([0.0], scale, np.int8(0)), scale).tolist() == [0.0]


def test_ties_go_to_the_even_step() -> None:
    values = [0.5, 1.5, 2.5, -0.5, -1.5]
    assert quantise(values, 1.0, np.int8(0)).tolist() == [0, 2, 2, 0, -2]


def test_what_lies_outside_of_the_range_takes_the_outermost_step() -> None:
    values = [-np.inf, -200, 200, np.inf]
    assert quantise(values, 1.0, np.int8(0)).tolist() == [-128, -128, 127, 127]
    assert quantise(values, 1.0, np.uint8(100)).tolist() == [0, 0, 255, 255]
    assert quantise(values, 1.0, np.int8(0), bits=4).tolist() == [-8, -8, 7, 7]


def test_each_channel_gets_its_own_scale() -> None:
    values = np.array([[1.0, -2.0], [0.01, 0.04], [0.0, 0.0]], np.float32)
    quantised, scale = symmetric(values, axis=0)
    assert scale.tolist() == [np.float32(2) / 127, np.float32(0.04) / np.float32(127), 1.0]
    assert quantised.tolist() == [[64, -127], [32, 127], [0, 0]]
    also, _ = symmetric(values, axis=-2)
    assert np.array_equal(also, quantised)


def test_nothing_but_zeros_and_nothing_at_all_get_scale_one() -> None:
    for values in (np.zeros((2, 3), np.float32), np.zeros(0, np.float32)):
        assert symmetric(values)[1] == 1
        quantised, scale, zero_point = asymmetric(values)
        assert (float(scale), int(zero_point)) == (1, 0)
        assert not quantised.any()


@pytest.mark.parametrize("bits", [1, 9, 0])
def test_other_numbers_of_bits_are_refused(bits: int) -> None:
    for function in (symmetric, asymmetric):
        with pytest.raises(ValueError, match=f"bits must be 2 to 8, got {bits}"):
            function(WORKED, bits)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(value: float) -> None:
    for function in (symmetric, asymmetric):
        with pytest.raises(ValueError, match="values must be finite"):
            function([1.0, value])


def test_a_range_beyond_float32_is_refused() -> None:
    with pytest.raises(ValueError, match="too far apart"):
        asymmetric([-3e38, 3e38])


@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan, np.inf])
def test_a_scale_that_is_not_positive_and_finite_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        quantise(WORKED, scale, np.int8(0))


def test_scales_that_do_not_fit_the_axis_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \[2\] does not fit values of shape \[5\]"):
        quantise(WORKED, [1.0, 2.0], np.int8(0), axis=0)
    with pytest.raises(ValueError, match="along axis None"):
        dequantise(np.zeros(5, np.int8), [1.0] * 5)


def _onnxruntime(
    values: NDArray[np.float32],
    scale: NDArray[np.float32],
    zero_point: NDArray[Any],
    axis: int | None,
) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Integers and restored values from QuantizeLinear and DequantizeLinear."""
    along: dict[str, Any] = {} if axis is None else {"axis": axis}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero_point"], ["q"], **along),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero_point"], ["restored"], **along),
    ]
    given = [numpy_helper.from_array(scale, "scale")]
    given += [numpy_helper.from_array(zero_point, "zero_point")]
    steps, restored = _run(nodes, ["q", "restored"], values, given)
    return steps, restored


def _run(
    nodes: list[Any], outputs: list[str], values: NDArray[np.float32], given: list[Any]
) -> Any:
    shape = list(values.shape)
    graph = helper.make_graph(
        nodes,
        "operators",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        given,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(outputs, {"x": values})
