"""More to train and to validate a reader on: digits as the finder sees them, and other things.

    samples.npz
        images, labels      uint8 [N, 28, 28] and int64 [N]: found in drawn pages; -1 for others
        scores              float32 [N], the finder's; NaN of what was not found in a page
        writers, written    other writers' digits and their labels, as they are
        validation_…        the same of other digits, writers and pages
    finder.onnx             what found them

Each drawn page goes through the serving code: what it takes for a digit is a sample, or, where
no digit was drawn, an outlier to learn as such.
"""

import shutil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.image.pixels import Part
from classifier.prepare import finder
from classifier.prepare.mnist import MnistPipeline
from model_build.data import datasets
from model_build.engine.stage import SAMPLES, StageContext
from model_build.finding.maps import FINDER, maps_of
from model_build.finding.other_samples import upright_strokes, without_digits
from model_build.finding.page import Page
from model_build.finding.train_finder import draw_pages, pens

OUTLIER = -1
_VALIDATION_SHARE = 0.15  # of the pages, drawn beside those to train on
_STROKES, _OTHERS = 0.02, 0.25  # times as many as are found in pages
_SLENDER = 2.2  # height by width: what is more slender may be a 1, whatever was drawn
_LEAST_CELLS = 18  # a smaller digit is looked at again before it is read
_EDGE = 0.03  # of the page's side
_SAME, _APART = 5, 14  # cells between middles: of one digit; of two


def build_stage(context: StageContext, *, pages: int) -> dict[str, Any]:
    """Draw pages, find what is on them, and write the samples."""
    dataset, (known, validation) = context.dataset, datasets.load_training_writers()
    shutil.copyfile(context.input_graph(0), context.target / FINDER)
    maps = maps_of(context.target / FINDER)
    parts = {
        "": ((dataset.train_images, dataset.train_labels), known, pages),
        "validation_": (
            (dataset.validation_images, dataset.validation_labels),
            validation,
            int(pages * _VALIDATION_SHARE),
        ),
    }
    arrays: dict[str, NDArray[Any]] = {}
    for index, (prefix, (digits, writers, count)) in enumerate(parts.items()):
        seed = context.seed + 1 + index
        drawn = draw_pages(pens(digits, writers, seed), count, seed, 1.0)
        images, labels, scores = found(maps, drawn)
        generator = np.random.default_rng(seed)
        ones = upright_strokes(generator, int(len(images) * _STROKES))
        others = without_digits(generator, int(len(images) * _OTHERS))
        arrays |= {
            f"{prefix}images": np.concatenate([images, ones, others]),
            f"{prefix}labels": np.concatenate(
                [labels, np.full(len(ones), 1), np.full(len(others), OUTLIER)]
            ),
            f"{prefix}scores": np.concatenate(
                [scores, np.full(len(ones) + len(others), np.nan, np.float32)]
            ),
            f"{prefix}writers": writers[0],
            f"{prefix}written": writers[1],
        }
    np.savez_compressed(context.target / SAMPLES, allow_pickle=False, **arrays)
    return {name: len(array) for name, array in arrays.items()}


def found(
    maps_of: finder.MapsOf, pages: list[Page]
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.float32]]:
    """Samples of what the finder takes for digits, the labels of what is there, and its scores."""
    pipeline = MnistPipeline(28, 28)
    samples, labels, scores = [], [], []
    for page in pages:
        for digit in finder.digits_of(maps_of(page.picture)):
            label = _label(digit, page)
            if len(page.digits) > 1 and _is_at_edge(digit.box):
                continue  # half of a neighbour: nobody could tell which digit it was
            if label == OUTLIER and len(digit.ink) > _SLENDER * len(digit.ink[0]):
                continue
            if digit.cells >= _LEAST_CELLS and label is not None:
                samples.append(pipeline.normalise(digit.ink))
                labels.append(label)
                scores.append(digit.score)
    return np.stack(samples), np.array(labels), np.array(scores, np.float32)


def _is_at_edge(box: Part) -> bool:
    return min(box.top, box.left, 1 - box.bottom, 1 - box.right) < _EDGE


def _label(digit: finder.Digit, page: Page) -> int | None:
    """Label of the digit drawn there, -1 for no digit; None if that can't be told."""
    box, cells = digit.box, page.targets.shape[0]
    row, column = (box.top + box.bottom) / 2 * cells, (box.left + box.right) / 2 * cells
    distances = [max(abs(row - y), abs(column - x)) for _, y, x in page.digits]
    nearest = min(distances, default=np.inf)
    if nearest < _SAME:
        return page.digits[int(np.argmin(distances))][0]
    return OUTLIER if nearest > _APART else None
