"""Likely ways to prepare pictures for a model, ranked by how well it then knows their labels.

A suggestion and no proof: where a few hundred pictures can't tell two ways apart, the author can.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from classifier.prepare.encoding import Encoding
from classifier.prepare.pipeline import from_manifest
from model_build.data import image_folders
from model_build.graph.convert import INPUT_NAME, OUTPUT_NAME
from model_build.importing.preprocessing import PRESETS, Preprocess

MOST_PICTURES = 200
_BATCH = 16  # pictures in a forward pass
_RESAMPLED = 1000  # times, for an interval
_FLOOR = 1e-7  # of a probability: one wrong answer must not decide alone
_SEED = 0  # picks pictures and resamples them
_FILTERS = ("bicubic", "lanczos")  # beside bilinear

type Samples = list[NDArray[np.uint8]]


class Ranked(NamedTuple):
    """One way to prepare the pictures.

    log_loss: mean over the pictures. low, high: its interval of 95 %, by bootstrap over the
    pictures. is_tied: whether its difference to the best way may well be chance.
    """

    preprocess: Preprocess
    log_loss: float
    low: float
    high: float
    accuracy: float
    is_tied: bool


def find_preprocess(
    session: ort.InferenceSession,
    pictures: Sequence[Path],
    labels: NDArray[np.int64],
    shape: tuple[int, ...],
    dtype: str,
    on_step: Callable[[], None] = lambda: None,
) -> list[Ranked]:
    """Try the likely ways, on at most 200 of the labelled pictures; return them, the best first.

    session: of a model that follows the function's contract. labels: index of each picture's label.
    shape, dtype: of one sample in the model's tensor. on_step: called after each way. First, every
    order of colours and every range of numbers is tried in the commonest geometry; then, with the
    two best of these, every other geometry; then, in the best of all, other filters. Raises
    ImportRefused for pictures that can't be read.
    """
    chosen = np.random.default_rng(_SEED).permutation(len(pictures))[:MOST_PICTURES]
    files, expected = [pictures[index] for index in chosen], labels[chosen]
    is_single = session.get_inputs()[0].shape[0] == 1
    losses: dict[int, NDArray[np.float64]] = {}
    tried: list[tuple[Preprocess, float]] = []

    @lru_cache(maxsize=1)
    def samples(geometry: int) -> NDArray[np.uint8]:
        encode = Encoding.from_manifest(dtype, shape, {})
        pipeline = from_manifest(encode.samples_shape, geometries[geometry])
        return np.concatenate(list(image_folders.samples(files, pipeline, lambda: None)))

    def attempt(geometry: int, numbers: Preprocess) -> float:
        members = geometries[geometry] | numbers
        encode = Encoding.from_manifest(dtype, shape, members)
        answers = np.concatenate(
            [
                session.run([OUTPUT_NAME], {INPUT_NAME: encode(batch)})[0]
                for batch in _batches(samples(geometry), 1 if is_single else _BATCH)
            ]
        )
        loss = -np.log(answers[np.arange(len(expected)), expected].clip(_FLOOR, 1))
        losses[len(tried)] = loss.astype(np.float64)
        tried.append((members, float((answers.argmax(axis=1) == expected).mean())))
        on_step()
        return float(loss.mean())

    is_grey = Encoding.from_manifest(dtype, shape, {}).channels == 1
    geometries = list(_geometries(is_grey=is_grey))
    scores = [(attempt(0, numbers), 0, numbers) for numbers in _numbers(dtype, is_grey=is_grey)]
    scores.sort(key=lambda score: score[0])
    scores += [
        (attempt(geometry, numbers), geometry, numbers)
        for geometry in range(1, len(geometries))
        for _, _, numbers in scores[:2]
    ]
    _, geometry, numbers = min(scores, key=lambda score: score[0])
    if not geometries[geometry].keys() & {"antialias", "interpolation"}:
        for name in _FILTERS:
            geometries.append(geometries[geometry] | {"interpolation": name})
            attempt(len(geometries) - 1, numbers)
    return _ranked(tried, np.stack([losses[index] for index in range(len(tried))]))


def _ranked(tried: list[tuple[Preprocess, float]], losses: NDArray[np.float64]) -> list[Ranked]:
    """Rank ways by their losses [ways, pictures]; all are resampled alike, so that pairs count."""
    count = losses.shape[1]
    generator = np.random.default_rng(_SEED)
    weights = generator.multinomial(count, np.full(count, 1 / count), _RESAMPLED) / count
    means = losses @ weights.T  # [ways, resampled]
    best = int(losses.mean(axis=1).argmin())
    ranked = []
    for (members, accuracy), loss, mean in zip(tried, losses, means, strict=True):
        low, high = np.quantile(mean, (0.025, 0.975))
        is_tied = bool(np.quantile(mean - means[best], 0.025) <= 0)
        ranked.append(
            Ranked(members, float(loss.mean()), float(low), float(high), accuracy, is_tied)
        )
    return sorted(ranked, key=lambda way: way.log_loss)


def _batches(samples: NDArray[np.uint8], size: int) -> Iterator[NDArray[np.uint8]]:
    for start in range(0, len(samples), size):
        yield samples[start : start + size]


def _geometries(*, is_grey: bool) -> Iterator[Preprocess]:
    """Ways to bring a picture into the frame, the commonest first."""
    fits: list[Preprocess] = [
        {"fit": "squash"},
        {"fit": "longer", "pad_colour": "border"},
        {"fit": "cover"},
    ]
    if is_grey:
        for fit, background in itertools.product(fits, (None, "dark", "light")):
            own = {"background": background} if background else {}
            yield {"pipeline": "picture", "colour": "grey", **fit, **own}
        return
    usual: list[Preprocess] = [{"fit": "shorter", "crop": 0.875}, {"fit": "shorter"}]
    others: list[Preprocess] = [
        {"fit": "squash", "antialias": False},
        {"fit": "squash", "interpolation": "nearest"},
    ]
    for fit in (*usual, *fits, *others):
        yield {"pipeline": "picture", **fit}


def _numbers(dtype: str, *, is_grey: bool) -> Iterator[Preprocess]:
    """Orders of colours, and ranges of numbers."""
    ranges: list[Preprocess] = [{}]
    if dtype == "float32":
        ranges = [
            {"scale": 1 / 255, "mean": [0.0], "std": [1.0]},
            {"scale": 1.0, "mean": [0.0], "std": [1.0]},
            {"scale": 1 / 255, "mean": [0.5], "std": [0.5]},
        ]
        if is_grey:
            ranges.append({"scale": 1 / 255, "mean": [0.1307], "std": [0.3081]})  # MNIST's
        else:
            ranges += [
                {name: PRESETS[preset][name] for name in ("scale", "mean", "std")}
                for preset in ("imagenet", "keras-caffe", "clip")
            ]
    for colour, numbers in itertools.product(("grey",) if is_grey else ("RGB", "BGR"), ranges):
        if numbers.get("scale") == 1.0 and len(numbers["mean"]) == 3 and colour == "RGB":
            numbers = numbers | {"mean": numbers["mean"][::-1]}  # noqa: PLW2901 - Caffe's are B, G, R
        yield {"colour": colour, **numbers}
