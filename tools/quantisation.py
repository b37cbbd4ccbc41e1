"""Make the figures and measured tables of docs/quantisation.md.

figures            draws docs/images/quantisation-*.png
measure NAME=FILE  quantises fp32 classifiers with every technique and prints two Markdown tables
"""

import argparse
import json
import platform
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import onnxruntime as ort
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from model_build.data import datasets
from model_build.evaluation.evaluate import session, time_side_by_side
from model_build.graph.convert import INPUT_NAME, OUTPUT_NAME
from model_build.quantise import dynamic, static, weight_only
from model_build.quantise.arithmetic import dequantise, quantise, symmetric

IMAGES = Path(__file__).resolve().parents[1] / "docs/images"
WORKED = np.array([-0.9, 1.2, 3.4, 0.2, -2.5], np.float32)
_BLUE, _ORANGE, _GREY = "#0072B2", "#D55E00", "#777777"
_ROUNDS = 60


def main() -> None:
    """Draw or measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    tasks = parser.add_subparsers(dest="task", required=True)
    tasks.add_parser("figures", help="draw the pictures into docs/images")
    measuring = tasks.add_parser("measure", help="print the tables")
    measuring.add_argument("networks", nargs="+", metavar="NAME=FILE", help="fp32 ONNX files")
    arguments = parser.parse_args()
    if arguments.task == "figures":
        _save(staircase(), IMAGES / "quantisation-staircase.png")
        _save(saturation(), IMAGES / "quantisation-saturation.png")
        return
    for network in arguments.networks:
        name, _, file = network.partition("=")
        print(f"\n{name}, {platform.machine()}\n")
        print(measure(Path(file)))


def staircase() -> Figure:
    """The worked example at 3 bits, where the steps are visible, and its error."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    line = np.linspace(-3.4, 3.4, 4001, dtype=np.float32)
    quantised, scale = symmetric(line, 3)
    restored = dequantise(quantised, scale)
    left.plot(line, line, color=_GREY, linewidth=1, label="x")
    left.plot(line, restored, color=_BLUE, label="x̂, 3 bits")
    at = dequantise(symmetric(WORKED, 3)[0], scale)
    left.plot(WORKED, at, "o", color=_ORANGE, label="the five numbers")
    left.set(xlabel="x", ylabel="x̂ = S · round(x / S)")
    right.plot(line, restored - line, color=_BLUE)
    right.plot(WORKED, at - WORKED, "o", color=_ORANGE)
    for bound in (-scale / 2, scale / 2):
        right.axhline(float(bound), color=_GREY, linestyle="--", linewidth=1)
    right.set(xlabel="x", ylabel="x̂ - x", title="the error stays within ± S / 2")
    left.set_title("rounding is a staircase, one step S wide")
    left.legend(frameon=False)
    return figure


def saturation() -> Figure:
    """Two choices of range for the same values, most of them small and one large."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    values = np.random.default_rng(0).normal(0, 1, 4000).astype(np.float32)
    values[0] = 12
    choices = {
        "range to the largest value": np.abs(values).max(),
        "range to 99 % of the values": np.quantile(np.abs(values), 0.99),
    }
    for axes, (title, reach) in zip(
        figure.subplots(1, 2, sharey=True), choices.items(), strict=True
    ):
        _range(axes, values, np.float32(reach) / 7)
        axes.set_title(f"{title}: S = {reach / 7:.2f}")
    return figure


def _range(axes: Axes, values: NDArray[np.float32], scale: np.float32) -> None:
    restored = dequantise(quantise(values, scale, np.int8(0), bits=4), scale)
    axes.plot(values, values, color=_GREY, linewidth=1)
    axes.plot(values, restored, ".", color=_BLUE, markersize=3)
    outside = np.abs(values - restored) > scale * 0.51
    axes.plot(values[outside], restored[outside], "o", color=_ORANGE, label="saturated")
    error = float(np.sqrt(np.mean(np.square(values - restored))))
    axes.set(xlabel=f"x, 4 bits; root mean square error {error:.3f}", ylabel="x̂")
    if outside.any():
        axes.legend(frameon=False)


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=110, metadata={"Software": None})
    print(f"drew {path.name}")


def measure(fp32: Path) -> str:
    """Markdown tables: every technique on one network, and where its time goes."""
    dataset = datasets.load("mnist-5k")
    with tempfile.TemporaryDirectory() as folder:
        files = {"fp32": fp32}
        for row, write in _techniques(dataset).items():
            files[row] = Path(folder) / f"{len(files)}.onnx"
            write(fp32, files[row])
        timings = time_side_by_side(files, dataset.test_images, _ROUNDS)
        lines = ["| | KiB | load, ms (least) | latency / fp32 | held-out |", "| --- " * 5 + "|"]
        for row, path in files.items():
            (answers,) = session(path).run([OUTPUT_NAME], {INPUT_NAME: dataset.test_images})
            accuracy = (answers.argmax(axis=1) == dataset.test_labels).mean()
            ratio, low, high = timings[row].ratio(timings["fp32"])
            load = float(timings[row].load_ms.min())  # a busy machine delays most of the others
            lines.append(
                f"| {row} | {path.stat().st_size / 1024:.0f} | {load:.1f} "
                f"| {ratio:.2f} ({low:.2f} to {high:.2f}) | {accuracy:.1%} |"
            )
        lines += ["", "| µs in the profiler | fp32 | dynamic |", "| --- " * 3 + "|"]
        spent = [_operators(path, dataset.test_images) for path in (fp32, files["dynamic"])]
        kinds = sorted({*spent[0], *spent[1]}, key=lambda kind: -spent[1].get(kind, 0))
        lines += [f"| {kind} | {spent[0][kind]:.0f} | {spent[1][kind]:.0f} |" for kind in kinds]
        return "\n".join(lines)


def _techniques(dataset: datasets.Dataset) -> dict[str, Callable[[Path, Path], object]]:
    samples = static.calibration_images(dataset)

    def calibrated(method: static.Method, *, per_channel: bool) -> Callable[[Path, Path], object]:
        return lambda source, target: static.quantise(
            source, target, samples, method=method, per_channel=per_channel
        )

    rows: dict[str, Callable[[Path, Path], object]] = {"dynamic": dynamic.quantise}
    for method in get_args(static.Method.__value__):
        rows[f"static, {method}, per channel"] = calibrated(method, per_channel=True)
        rows[f"static, {method}, per tensor"] = calibrated(method, per_channel=False)
    rows["weight-only, int8"] = lambda source, target: weight_only.quantise(source, target, bits=8)
    rows["weight-only, int4"] = lambda source, target: weight_only.quantise(source, target, bits=4)
    return rows


def _operators(path: Path, images: NDArray[np.uint8]) -> defaultdict[str, float]:
    """Microseconds of a forward pass per operator, medians of 500 runs in the profiler."""
    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_profiling = True
        options.profile_file_prefix = f"{folder}/profile"
        opened = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        for index in range(500):
            opened.run(None, {INPUT_NAME: images[index : index + 1]})
        events = json.loads(Path(opened.end_profiling()).read_text())
    durations: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in events:
        if event["name"].endswith("_kernel_time"):
            durations[event["args"]["op_name"], event["name"]].append(event["dur"])
    spent: defaultdict[str, float] = defaultdict(float)
    for (kind, _), times in durations.items():
        spent[kind] += float(np.median(times))
    return spent


if __name__ == "__main__":
    main()
