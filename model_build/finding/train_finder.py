"""Train the finder on drawn pages, and write it as a graph of 8-bit integers."""

import tempfile
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)

from model_build.data import datasets
from model_build.engine.stage import OnEpoch, StageContext
from model_build.finding.letters import letters
from model_build.finding.maps import MAPS, PICTURE
from model_build.finding.page import Page, draw_page
from model_build.finding.shapes import SIDE
from model_build.finding.simplify import simplify
from model_build.finding.strokes import trace
from model_build.finding.writing import Pens
from model_build.graph.convert import name_input_and_output
from model_build.graph.optimise import BASIC, name_constants, optimise, optimise_integers
from model_build.quantise.static import quiet

CLOSE_SHARE = 0.25  # of the pages, drawn as the finder looks at a digit for the second time
_BATCH = 32
_PEAK = 4e-3  # learning rate
_CHUNK = 250  # pages that a process draws at a time, from a seed of their own
_CALIBRATION_PAGES = 200
_WEIGHTS = (1.0, 0.7, 0.5)  # of the maps in the loss

type Pages = tuple[NDArray[np.uint8], NDArray[np.uint8]]  # pictures and targets


def build_stage(context: StageContext, *, pages: int, epochs: int) -> dict[str, Any]:
    """Draw pages with the data set's training digits and those of other writers, and learn them."""
    known, _ = datasets.load_training_writers()
    digits = context.dataset.train_images, context.dataset.train_labels
    drawn = draw_pages(pens(digits, known, context.seed), pages, context.seed, CLOSE_SHARE)
    pictures = np.stack([page.picture for page in drawn])
    targets = np.stack([page.targets for page in drawn])
    network = fit((pictures, targets), epochs, context.seed, context.on_epoch)
    write(network, context.graph, pictures[:_CALIBRATION_PAGES])
    return {"pages": pages, "bytes": context.graph.stat().st_size}


def pens(digits: datasets.Labelled, more: datasets.Labelled, seed: int) -> Pens:
    """What pages are drawn with: digits of two sources, and letters."""
    images = np.concatenate([digits[0], more[0]])
    labels = np.concatenate([digits[1], more[1]])
    return Pens(trace(images, labels), letters(np.random.default_rng(seed)))


def draw_pages(pens: Pens, count: int, seed: int, close_share: float) -> list[Page]:
    """Draw pages in as many processes as there are cores; the same seed gives the same pages."""
    starts = range(0, count, _CHUNK)
    seeds = np.random.SeedSequence(seed).spawn(len(starts))
    tasks = [
        (chunk, min(_CHUNK, count - start), close_share)
        for chunk, start in zip(seeds, starts, strict=True)
    ]
    # Not forked: TensorFlow may have threads already.
    with ProcessPoolExecutor(
        mp_context=get_context("spawn"), initializer=_take_pens, initargs=(pens,)
    ) as processes:
        return [page for chunk in processes.map(_draw_chunk, tasks) for page in chunk]


def _take_pens(pens: Pens) -> None:
    global _pens  # noqa: PLW0603 - handed to each process once
    _pens = pens


_pens: Pens


def _draw_chunk(task: tuple[np.random.SeedSequence, int, float]) -> list[Page]:
    seed, count, close_share = task
    generator = np.random.default_rng(seed)
    return [
        draw_page(_pens, generator, close=generator.random() < close_share) for _ in range(count)
    ]


def fit(pages: Pages, epochs: int, seed: int, on_epoch: OnEpoch) -> Any:
    """Train the network of the finder; each epoch shows every page in other colours.

    pages: pictures uint8 [N, 96, 96, 3] and targets uint8 [N, 48, 48, 3].
    """
    import keras  # noqa: PLC0415 - processes that only draw pages do without TensorFlow

    from model_build.finding import network  # noqa: PLC0415
    from model_build.training.train import be_deterministic, cosine  # noqa: PLC0415

    keras.backend.clear_session()
    be_deterministic(seed)
    finder = network.build()
    steps = epochs * (len(pages[0]) // _BATCH)
    finder.compile(
        keras.optimizers.AdamW(cosine(_PEAK, steps), weight_decay=1e-4),
        loss=_loss,
        metrics=["accuracy"],
    )
    generator = np.random.default_rng(seed)
    for epoch in range(1, epochs + 1):
        logs = finder.fit(
            _batches(pages, generator),
            steps_per_epoch=len(pages[0]) // _BATCH,
            initial_epoch=epoch - 1,
            epochs=epoch,
            verbose=0,
            shuffle=False,
        ).history
        on_epoch(epoch, epochs, float(logs["loss"][-1]), float(logs["accuracy"][-1]))
    return finder


def _loss(targets: Any, maps: Any) -> Any:
    """Cross-entropy that weighs ink double, and a Dice loss (Milletari et al. 2016), by map."""
    from keras import ops  # noqa: PLC0415

    maps = ops.clip(maps, 1e-6, 1 - 1e-6)
    entropy = -(2 * targets * ops.log(maps) + (1 - targets) * ops.log(1 - maps))
    common = 2 * ops.sum(targets * maps, axis=(1, 2)) + 1
    dice = 1 - common / (ops.sum(targets + maps, axis=(1, 2)) + 1)
    weights = ops.convert_to_tensor(_WEIGHTS, "float32")
    return ops.mean((8 * ops.mean(entropy, axis=(1, 2)) + 0.3 * dice) * weights, axis=-1)


def _batches(pages: Pages, generator: np.random.Generator) -> Iterator[tuple[Any, Any]]:
    """One epoch: pages in another order, their channels swapped, some of them as negatives."""
    pictures, targets = pages
    order = generator.permutation(len(pictures))
    for start in range(0, len(order) - _BATCH + 1, _BATCH):
        chosen = np.sort(order[start : start + _BATCH])
        shown = pictures[chosen].astype(np.float32) / 255
        negative = generator.random(_BATCH) < 0.3
        shown[negative] = 1 - shown[negative]
        shown = shown[..., generator.permutation(3)]
        shown *= generator.uniform(0.8, 1, (_BATCH, 1, 1, 1)).astype(np.float32)
        yield shown, targets[chosen].astype(np.float32) / 255


def write(network: Any, target: Path, calibration: NDArray[np.uint8]) -> None:
    """Write the network as ONNX: `picture` uint8 [N, 96, 96, 3] to `maps` [N, 48, 48, 3].

    calibration: pictures that set the ranges of its activations.
    """
    import keras  # noqa: PLC0415

    picture = keras.Input((SIDE, SIDE, 3), dtype="uint8", name=PICTURE)
    serving = keras.Model(picture, network(keras.ops.cast(picture, "float32") / 255.0))
    serving(np.zeros((1, SIDE, SIDE, 3), dtype=np.uint8))  # Keras exports what was called once
    with tempfile.TemporaryDirectory() as folder, quiet():
        exported, simple, quantised = (Path(folder) / name for name in ("a", "b", "c"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # Keras's own look at np.object
            serving.export(exported, format="onnx", verbose=False)
        graph = onnx.load(exported)
        name_input_and_output(
            graph,
            helper.make_tensor_value_info(PICTURE, TensorProto.UINT8, ["N", SIDE, SIDE, 3]),
            helper.make_tensor_value_info(
                MAPS, TensorProto.FLOAT, ["N", SIDE // 2, SIDE // 2, len(_WEIGHTS)]
            ),
        )
        onnx.save(graph, exported)
        optimise(exported, simple, BASIC)
        quantize_static(
            simple,
            quantised,
            _Pictures(calibration),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["Conv", "Relu", "Add", "Resize"],
        )
        optimise_integers(quantised, target)
        graph = onnx.load(target)
        simplify(graph.graph)
        name_constants(graph.graph)
        onnx.save(graph, target)


class _Pictures(CalibrationDataReader):  # type: ignore[misc] # onnxruntime has no types
    def __init__(self, pictures: NDArray[np.uint8]) -> None:
        self._pictures = iter(pictures)

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        picture = next(self._pictures, None)
        return None if picture is None else {PICTURE: picture[np.newaxis]}
