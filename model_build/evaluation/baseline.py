"""What a model's traffic should look like: the histograms that drift is measured against.

There are two kinds, because there are two kinds of requests: finished samples (`preprocess=none`),
and pictures through `auto`, with other strokes, paper and confidence. docs/drift.md says more.
"""

import contextlib
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.errors import BlankImage
from classifier.image import pixels
from classifier.monitoring import traits
from classifier.prepare.finder import MapsOf
from classifier.prepare.pipeline import from_manifest, sample
from drift_check import traffic
from model_build.data.synthetic_pictures import take_picture
from model_build.evaluation.evaluate import Evaluation, session
from model_build.graph.convert import INPUT_NAME, OUTPUT_NAME

PICTURES = 500  # drawn from held-out samples; more would not make the index much steadier
_SIDES = 120, 300  # of the pictures, in pixels: larger ones take longer, with the same result
_SEED = 28

type Observed = tuple[NDArray[np.uint8], traits.Traits]  # samples and their traits

_drawn: dict[tuple[str, str], Observed] = {}  # fp32 and int8 get the same pictures


def with_baseline(
    evaluation: Evaluation,
    path: Path,
    images: NDArray[np.uint8],
    parameters: Mapping[str, Any],
    maps_of: MapsOf | None = None,
) -> Evaluation:
    """Add a model file's baseline to its evaluation; the arguments are those of `baseline`."""
    histograms = baseline(path, images, parameters, maps_of)
    return replace(
        evaluation, samples=histograms["samples"], pictures=histograms.get("pictures", {})
    )


def baseline(
    path: Path,
    images: NDArray[np.uint8],
    parameters: Mapping[str, Any],
    maps_of: MapsOf | None = None,
) -> dict[str, dict[str, list[int]]]:
    """Histograms of a model file for the manifest: `samples`, and `pictures` for digits.

    images: held-out samples [N, H, W]. parameters: of the preprocessing, as in the manifest;
    ordinary pictures are known for the pipeline `mnist` alone. maps_of: the finder.
    """
    papers = [traits.paper(image[:, :, np.newaxis]) for image in images]
    histograms = {"samples": _of_traits(traits.traits(images, papers))}
    if parameters["pipeline"] == "mnist":
        samples, observed = pictures(images, parameters, maps_of)
        histograms["pictures"] = _of_answers(path, samples) | _of_traits(observed)
    return histograms


def pictures(
    images: NDArray[np.uint8], parameters: Mapping[str, Any], maps_of: MapsOf | None = None
) -> Observed:
    """Samples [N, H, W] as ordinary pictures, preprocessed by the serving code; deterministic."""
    key = hashlib.sha256(images.tobytes()).hexdigest(), repr(sorted(parameters.items()))
    if key not in _drawn:
        chosen = np.linspace(0, len(images) - 1, min(PICTURES, len(images))).round().astype(int)
        pipeline = from_manifest(["N", *images.shape[1:]], dict(parameters), maps_of)
        generator = np.random.default_rng(_SEED)
        samples, papers = [], []
        for image in images[chosen]:
            side = int(generator.integers(*_SIDES))
            picture = pixels.Picture(take_picture(image, generator, side=side))
            with contextlib.suppress(BlankImage):  # the faintest of them
                samples.append(sample(pipeline, picture, "auto"))
                papers.append(traits.paper(picture.pixels))
        _drawn.clear()
        _drawn[key] = np.stack(samples), traits.traits(np.stack(samples), papers)
    return _drawn[key]


def _of_answers(path: Path, samples: NDArray[np.uint8]) -> dict[str, list[int]]:
    (probabilities,) = session(path).run([OUTPUT_NAME], {INPUT_NAME: samples})
    counts = np.bincount(probabilities.argmax(axis=1), minlength=probabilities.shape[1])
    confidence = traffic.histogram("confidence", probabilities.max(axis=1).tolist())
    return {traffic.CLASSES: counts.tolist(), "confidence": confidence}


def _of_traits(observed: traits.Traits) -> dict[str, list[int]]:
    return {name: traffic.histogram(name, values) for name, values in observed.items()}
