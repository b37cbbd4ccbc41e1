"""Try several ways of compressing an adopted classifier, and choose one that still agrees with it.

No labels are needed: a candidate must answer as the original does on pictures like those that the
model will see, and be smaller or quicker for it. Where none does, the original is published.
"""

import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationMethod

from classifier.prepare.encoding import Encoding
from model_build.errors import ImportRefused
from model_build.evaluation.evaluate import session
from model_build.graph.convert import INPUT_NAME, OUTPUT_NAME
from model_build.graph.optimise import optimise
from model_build.importing import footprint
from model_build.importing.agreement import Agreement, compare
from model_build.importing.reading import first_line, quantised_format
from model_build.quantise import dynamic, half, static, weight_only
from model_build.quantise.ranges import Method, Ranges

type Tensor = NDArray[np.uint8] | NDArray[np.float32]
type Batches = Callable[[], Iterator[Tensor]]
type OnStep = Callable[[str], None]
type Check = Callable[[Path], str]

BUDGET_BYTES = 2**30
# With fewer than 35 pictures, even agreement on all of them does not reach the first.
MIN_AGREEMENT = 0.9  # lower end of the interval of the share of equal answers
MAX_EXPECTED_LOSS = 0.01  # accuracy that is lost if the original's probabilities are right,
_HIGHEST_LOSS = 0.03  # and the upper end of its interval: few pictures can't show less
MAX_DIFFERENCE = 0.06  # mean change of a picture's probabilities
_WORTH = 0.9  # a candidate must need at most this share of the time or of the bytes,
_SLOWEST = 1.1  # and at most this of the time in any case
_MOST_PICTURES = 512
_ENOUGH_FOR_HALVES = 200  # pictures; then one half calibrates, and the other is compared
_MOST_CALIBRATED = 128  # of them; more hardly move a range
_COMPARED_SECONDS = 30.0  # for the original; a slow one is compared on fewer pictures,
_FEWEST_COMPARED = 64  # but on these
_TIMED_SECONDS = 1.0  # per candidate
_FEWEST_RUNS = 5
# Clip: EfficientNet-Lite0 falls from 92.9 to 67.9 % without. Mul and Sigmoid: a network with SiLU
# takes 0.92 of the original's time instead of 1.10.
_OPERATORS = [
    *static.OPERATORS, "Add", "AveragePool", "Clip", "Concat", "GlobalAveragePool", "HardSigmoid",
    "HardSwish", "LeakyRelu", "Mul", "Resize", "Sigmoid",
]  # fmt: skip
_PRODUCTS = ["Conv", "MatMul", "Gemm"]


@dataclass(frozen=True)
class Figures:
    """One recipe: its size and speed relative to the original, and how it agrees with it.

    agreement: None if the recipe failed, or gains nothing.
    """

    recipe: str
    agreement: Agreement | None = None
    bytes: int = 0
    bytes_ratio: float = 1.0
    run_ms: float = 0.0
    time_ratio: float = 1.0
    fault: str = ""  # why it does not qualify; empty if it does


@dataclass(frozen=True)
class Choice:
    """The file to publish; quantization: as in its manifest, None for the original.

    original: the uncompressed file, optimised. sentence: why this one. agreement: of the file with
    the original, None if the original is chosen or the file was quantised already.
    """

    quantization: dict[str, Any] | None
    file: Path
    original: Path
    sentence: str
    figures: list[Figures] = field(default_factory=list)
    agreement: Agreement | None = None


def choose(
    folder: Path,
    encode: Encoding,
    batches: Batches | None,
    budget_bytes: int = BUDGET_BYTES,
    on_step: OnStep = lambda _: None,
    *,
    min_agreement: float = MIN_AGREEMENT,
    max_difference: float = 1,
    check: Check = lambda _: "",
) -> Choice:
    """Compress `adopted.onnx` in a folder in several ways and choose; write the files beside it.

    batches: yields the model's input [N, …] of pictures without labels, in batches of any size,
    the same in each call; None without pictures. budget_bytes: what the activations of a
    calibration may take in memory. on_step: called with the name of each recipe before it is tried.
    A recipe that fails is a fault among the figures, not an error. min_agreement: share of pictures
    that get the same answer, with 95 % confidence. max_difference: largest change of any
    probability. check: says why the file of a candidate must not be chosen, empty if it may; the
    best candidate is checked first, and the others only if it fails.

    Raises ImportRefused if the chosen file needs more memory than a Lambda function can have.
    """
    fault_of = partial(_fault, min_agreement=min_agreement, max_difference=max_difference)
    choice = _choose(folder, encode, batches, budget_bytes, on_step, fault_of, check)
    needed = footprint.needed_mb(choice.file)
    if needed > footprint.MOST_MB:
        raise ImportRefused(
            f"the model needs {needed:,} MB of memory, more than the {footprint.MOST_MB:,} MB that "
            f"a function can have; distil or prune it first ({choice.sentence})"
        )
    if needed > footprint.DEFAULT_MB:
        sentence = f"{choice.sentence}; deploy it with MemorySize={needed} or more"
        return replace(choice, sentence=sentence)
    return choice


def _choose(
    folder: Path,
    encode: Encoding,
    batches: Batches | None,
    budget_bytes: int,
    on_step: OnStep,
    fault_of: Callable[[Agreement], str],
    check: Check,
) -> Choice:
    adopted, original = folder / "adopted.onnx", folder / "fp32.onnx"
    model = onnx.load(adopted)
    if (form := quantised_format(model)) is not None:
        shutil.copyfile(adopted, original)
        given = {"method": "as imported", "format": form}
        return Choice(
            given, adopted, original, f"the file is already quantised ({form}): kept as it is"
        )
    _optimise(adopted, original)
    if batches is None:
        return Choice(None, original, original, "kept as it is: nothing was compressed")
    bench = _Bench(folder, encode, batches, budget_bytes)
    quantizations: dict[str, dict[str, Any]] = {}
    tried: dict[str, Figures] = {}
    for name, recipe in _recipes(model):
        on_step(name)
        one, quantizations[name] = bench.measure(name, recipe)
        if one.agreement is not None:
            one = replace(one, fault=fault_of(one.agreement))
        tried[name] = one
    for one in sorted((one for one in tried.values() if not one.fault), key=_cost):
        file = bench.file(one.recipe)
        if fault := check(file):
            tried[one.recipe] = replace(one, fault=fault)
            continue
        figures = list(tried.values())
        quantization, agreement = quantizations[one.recipe], one.agreement
        return Choice(quantization, file, original, _praise(one), figures, agreement)
    figures = list(tried.values())
    return Choice(None, original, original, _nothing_qualifies(figures), figures)


def answer(model: ort.InferenceSession, batch: Tensor) -> NDArray[np.float32]:
    """Probabilities [N, classes] of a batch, one picture at a time: memory stays that of one."""
    return np.concatenate(
        [model.run([OUTPUT_NAME], {INPUT_NAME: batch[at : at + 1]})[0] for at in range(len(batch))]
    )


type Recipe = Callable[["_Bench", Path], dict[str, Any]]


def _recipes(model: onnx.ModelProto) -> list[tuple[str, Recipe]]:
    """Recipes worth trying on a graph, by name."""
    recipes: list[tuple[str, Recipe]] = []
    if any(node.op_type in _PRODUCTS for node in model.graph.node):
        options: dict[str, dict[str, Any]] = {
            "int8, min-max": {},
            "int8, percentile": {"method": "percentile"},
            "int8, entropy": {"method": "entropy"},
            "int8, pairs": {"by_pairs": True},
            "int8, ends in float": {"ends_in_float": True},
            "int8, pairs, ends in float": {"by_pairs": True, "ends_in_float": True},
            "int8, pairs, products alone": {"by_pairs": True, "operators": _PRODUCTS},
        }
        recipes += [(name, _static(**given)) for name, given in options.items()]
        recipes.append(("int8, dynamic", lambda bench, to: dynamic.quantise(bench.original, to)))
        recipes.append(("int8 weights", lambda bench, to: weight_only.quantise(bench.original, to)))
    if any(map(half.is_worth_it, model.graph.initializer)):
        recipes.append(("float16 weights", lambda bench, to: half.quantise(bench.original, to)))
    return recipes


def _static(
    *,
    method: Method = "minmax",
    by_pairs: bool = False,
    ends_in_float: bool = False,
    operators: Sequence[str] = _OPERATORS,
) -> Recipe:
    def recipe(bench: "_Bench", target: Path) -> dict[str, Any]:
        ranges = target.with_suffix(".json")
        with static.quiet():
            bench.ranges.save(ranges, method)
            static.write(
                bench.original,
                target,
                ranges,
                CalibrationMethod.MinMax,
                operators=operators,
                by_pairs=by_pairs,
                in_float=bench.ends if ends_in_float else (),
            )
        bits = "8 bits, limited by pairs" if by_pairs else "7 bits"
        return {
            "method": "static",
            "format": "QDQ",
            "weights": f"int8, {bits}, per channel",
            "activations": "uint8",
            "in_float": bench.ends if ends_in_float else [],
            "calibration": {"method": method, "samples": bench.calibrated},
        }

    return recipe


class _Bench:
    """Where candidates are made and compared with the original."""

    def __init__(self, folder: Path, encode: Encoding, batches: Batches, budget: int) -> None:
        self._folder = folder
        self._batches = batches
        self._budget = budget
        self._blank = encode.blank
        self.original = folder / "fp32.onnx"
        pictures = sum(len(batch) for batch in self._pictures())
        self._halves = pictures >= _ENOUGH_FOR_HALVES
        self.calibrated = min(-(-pictures // 2) if self._halves else pictures, _MOST_CALIBRATED)
        self._compared = _MOST_PICTURES
        self._expected = self._answers(self.original)
        self._compared = len(self._expected)

    @cached_property
    def ranges(self) -> Ranges:
        """Ranges of the activations, collected when the first recipe needs them."""
        return Ranges(
            self.original,
            _OPERATORS,
            lambda: islice(self._part(0), self.calibrated),
            self._budget,
        )

    @cached_property
    def ends(self) -> list[str]:
        """Names of the first and the last product."""
        nodes = onnx.load(self.original).graph.node
        names = [node.name for node in nodes if node.op_type in _PRODUCTS]
        return [names[0], names[-1]]

    def file(self, recipe: str) -> Path:
        """File of a recipe's candidate."""
        return self._folder / f"{recipe.replace(', ', '-').replace(' ', '-')}.onnx"

    def measure(self, name: str, recipe: Recipe) -> tuple[Figures, dict[str, Any]]:
        """Make a candidate and measure it; return its `quantization` as well."""
        target = self.file(name)
        try:
            quantization = recipe(self, target)
            run_ms, time_ratio = self._time(target)
            size = target.stat().st_size
            bytes_ratio = size / self.original.stat().st_size
            if fault := _no_gain(bytes_ratio, time_ratio):
                return Figures(name, None, size, bytes_ratio, run_ms, time_ratio, fault), {}
            found = self._answers(target)
        except Exception as error:  # noqa: BLE001 - the quantiser's and onnxruntime's are of any class
            return Figures(name, fault=f"failed: {first_line(error)}"), {}
        if not np.isfinite(found).all():
            return Figures(name, fault="answers NaN or infinity"), {}
        agreement = compare(self._expected, found)
        return Figures(name, agreement, size, bytes_ratio, run_ms, time_ratio), quantization

    def _pictures(self) -> Iterator[Tensor]:
        """At most 512 pictures, one by one."""
        singles = (batch[at : at + 1] for batch in self._batches() for at in range(len(batch)))
        return islice(singles, _MOST_PICTURES)

    def _part(self, half_: int) -> Iterator[Tensor]:
        """Every other picture, or all if there are few."""
        for index, picture in zip(count(), self._pictures(), strict=False):
            if not self._halves or index % 2 == half_:
                yield picture

    def _answers(self, path: Path) -> NDArray[np.float32]:
        """Probabilities of the pictures to compare: the first ones, if the model is slow."""
        model = ort.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
        answers: list[NDArray[np.float32]] = []
        started = time.perf_counter()
        for picture in islice(self._part(1), self._compared):
            answers.append(answer(model, picture))
            is_slow = time.perf_counter() - started > _COMPARED_SECONDS
            if is_slow and self._compared == _MOST_PICTURES and len(answers) >= _FEWEST_COMPARED:
                break
        return np.concatenate(answers)

    def _time(self, path: Path) -> tuple[float, float]:
        """Milliseconds per picture on one thread, and their ratio to the original's, in turns."""
        sessions = [session(path), session(self.original)]
        times: list[list[float]] = [[], []]
        for model in sessions:
            model.run([OUTPUT_NAME], {INPUT_NAME: self._blank})
        started = time.perf_counter()
        while len(times[0]) < _FEWEST_RUNS or time.perf_counter() - started < _TIMED_SECONDS:
            for model, runs in zip(sessions, times, strict=True):
                before = time.perf_counter()
                model.run([OUTPUT_NAME], {INPUT_NAME: self._blank})
                runs.append((time.perf_counter() - before) * 1000)
        candidate, original = map(statistics.median, times)
        return candidate, candidate / original


def _optimise(source: Path, target: Path) -> None:
    """Optimise a graph, or leave it as it is where onnxruntime can't write the result."""
    try:
        optimise(source, target)
    except Exception:  # noqa: BLE001 - of onnxruntime or onnx's checker
        shutil.copyfile(source, target)


def _no_gain(bytes_ratio: float, time_ratio: float) -> str:
    """Say why a candidate is not worth comparing; empty if it is."""
    if time_ratio > _SLOWEST:
        return "is slower"
    return "gains nothing" if min(bytes_ratio, time_ratio) > _WORTH else ""


def _fault(
    agreement: Agreement, min_agreement: float = MIN_AGREEMENT, max_difference: float = 1
) -> str:
    """Say why a candidate may not replace the original; empty if it may."""
    low = agreement.top1_interval[0]
    if low < min_agreement:
        if agreement.top1 == 1:
            return f"agrees, but {agreement.pictures} pictures are too few to tell"
        return (
            f"gives the same answer for {agreement.top1:.1%} of {agreement.pictures} pictures, so "
            f"maybe for {low:.1%}, less than {min_agreement:.0%}"
        )
    loss, highest = agreement.expected_loss, agreement.expected_loss_interval[1]
    if loss > MAX_EXPECTED_LOSS or highest > _HIGHEST_LOSS:
        return (
            f"loses about {loss:.1%} accuracy, at most {highest:.1%}; {MAX_EXPECTED_LOSS:.0%} and "
            f"{_HIGHEST_LOSS:.0%} are allowed"
        )
    if agreement.difference > MAX_DIFFERENCE:
        return (
            f"changes a probability by {agreement.difference:.3f} on average, "
            f"{agreement.largest_difference:.2f} at most; {MAX_DIFFERENCE} on average is allowed"
        )
    if agreement.largest_difference > max_difference:
        return (
            f"changes a probability by {agreement.largest_difference:.3f}, more than "
            f"{max_difference:g}"
        )
    return ""


def _cost(figures: Figures) -> float:
    """What a candidate costs: its time and size, and up to a tenth each for what it may change."""
    assert figures.agreement is not None
    loss = figures.agreement.expected_loss / MAX_EXPECTED_LOSS
    difference = figures.agreement.difference / MAX_DIFFERENCE
    return figures.time_ratio + figures.bytes_ratio + (loss + difference) / 10


def _nothing_qualifies(figures: Sequence[Figures]) -> str:
    if not figures:
        return "kept as it is: the model has no weights that could be compressed"
    tried = [one for one in figures if one.agreement is not None]
    if not tried:
        first = figures[0]
        return f"kept as it is: no recipe makes it smaller or quicker; {first.recipe} {first.fault}"
    nearest = max(
        tried,
        key=lambda one: (
            (one.agreement.top1, -one.agreement.largest_difference) if one.agreement else (0, 0)
        ),
    )
    return f"kept as it is: the nearest recipe, {nearest.recipe}, {nearest.fault}"


def _praise(best: Figures) -> str:
    return (
        f"chose {best.recipe}: {best.agreement}, {best.bytes_ratio:.0%} of the size, "
        f"{best.time_ratio:.0%} of the time"
    )
