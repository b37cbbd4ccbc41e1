"""Drift: the statistics, the log lines and the command."""

import json
import math
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from classifier.image import pixels
from classifier.monitoring import traits
from drift_check import stability, traffic
from model_build.cli import main  # noqa: F401 - cli registers the commands
from model_build.cli.console import app
from model_build.cli.drift_command import period
from model_build.data.datasets import Dataset
from model_build.errors import TrafficError
from model_build.evaluation import baseline, drift
from model_build.store.model_store import ModelStore
from tests.support.local_s3 import serving
from tests.support.manifests import describe

VERSION = "20260131T120000Z-01234567"


def line(version: str = VERSION, mode: str = "auto", **fields: Any) -> str:
    """A log line as the function writes it, for one image by default."""
    fields = {
        "predictions": [3],
        "Confidence": [0.99],
        "ink": [0.1],
        "stroke": [2.0],
        "paper": [0.8],
    } | fields
    return json.dumps(
        {"_aws": {"Timestamp": 1}, "model_version": version, "preprocess": mode} | fields
    )


@pytest.mark.parametrize(
    ("critical", "freedom", "tail"),
    [
        (3.841, 1, 0.05),
        (5.991, 2, 0.05),
        (7.815, 3, 0.05),
        (16.919, 9, 0.05),
        (21.666, 9, 0.01),
        (23.209, 10, 0.01),
        (29.588, 10, 0.001),
        (43.820, 19, 0.001),
        (0.0, 5, 1.0),
    ],
)
def test_chi_square_tail_agrees_with_the_printed_tables(
    critical: float, freedom: int, tail: float
) -> None:
    assert stability.chi_square_tail(critical, freedom) == pytest.approx(tail, rel=2e-3)


def test_p_values_of_two_draws_from_one_distribution_are_uniform() -> None:
    """By definition, one p-value in ten is below a tenth."""
    generator = np.random.default_rng(5)
    shares = [0.4, 0.2, 0.2, 0.1, 0.1]
    found = [
        stability.homogeneity(
            generator.multinomial(500, shares).tolist(), generator.multinomial(300, shares).tolist()
        )
        for _ in range(2000)
    ]
    for level in (0.05, 0.1, 0.5, 0.9):
        assert float(np.mean(np.array(found) < level)) == pytest.approx(level, abs=0.03)


def test_psi_is_the_divergence_of_the_shares() -> None:
    assert stability.psi([500, 500], [500, 500]) == 0
    expected = (0.9 - 0.5) * math.log(0.9 / 0.5) + (0.1 - 0.5) * math.log(0.1 / 0.5)
    assert stability.psi([50_000, 50_000], [90_000, 10_000]) == pytest.approx(expected, rel=1e-3)


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=1, max_size=30))
def test_any_two_histograms_are_compared_to_finite_numbers(pairs: list[tuple[int, int]]) -> None:
    expected, observed = [list(side) for side in zip(*pairs, strict=True)]
    for one in stability.compare({"any": expected}, {"any": observed}).values():
        assert 0 <= one.psi < math.inf
        assert 0 <= one.p_value <= 1


def test_holm_multiplies_the_least_by_all_and_keeps_the_order() -> None:
    assert stability.holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx(
        {"a": 0.03, "c": 0.06, "b": 0.06}
    )


def compared(expected: list[int], observed: list[int]) -> str:
    return stability.compare({"one": expected}, {"one": observed})["one"].verdict


def test_a_verdict_needs_a_change_that_is_both_large_and_no_chance() -> None:
    assert compared([500, 500], [480, 520]) == "none"
    assert compared([500_000, 500_000], [480_000, 520_000]) == "none", "significant, but tiny"
    assert compared([500, 500], [340, 660]) == "watch"
    assert compared([500, 500], [100, 900]) == "drift"
    assert compared([500, 500], [10, 189]) == "too few"
    assert compared([12, 12], [150, 60]) == "none", "large, but the baseline is chance itself"


def test_a_change_into_bins_that_the_baseline_has_empty_is_seen() -> None:
    """A good model's confidence fills one bin; doubt that appears later must show."""
    assert compared([0] * 19 + [1000], [0] * 12 + [300] + [0] * 6 + [700]) == "drift"
    assert compared([1000] + [0] * 19, [700] + [0] * 6 + [300] + [0] * 12) == "drift"


def test_traffic_without_drift_is_hardly_ever_called() -> None:
    """500 simulated days of five statistics each, drawn from the baseline's own distribution."""
    generator = np.random.default_rng(3)
    shares = generator.dirichlet(np.ones(20), size=5)
    names = [str(number) for number in range(5)]
    called = 0
    for _ in range(500):
        expected, observed = (
            {
                name: generator.multinomial(count, share).tolist()
                for name, share in zip(names, shares, strict=True)
            }
            for count in (500, 300)
        )
        called += stability.overall(stability.compare(expected, observed)) != "none"
    assert called <= 8


def test_lines_are_counted_by_image_version_and_preprocessing() -> None:
    found = drift.collect(
        [
            line(),
            line(predictions=[1, 3], Confidence=[0.5, 1.0], ink=[0.2, 0.3]),
            line(mode="none"),
            line(version="20260201T120000Z-89abcdef"),
            "START RequestId: 1 Version: $LATEST",
            "",
            '{"level": "INFO", "message": "predicted", "predictions": [3], "model_version": "x"}',
            '{"_aws": {}, "ColdStart": [1.0]}',
            "[1]",
            "3",
        ]
    )
    assert (found.lines, found.not_json) == (9, 1)
    assert {group: found.images(group) for group in found.values} == {
        (VERSION, "auto"): 3,
        (VERSION, "none"): 1,
        ("20260201T120000Z-89abcdef", "auto"): 1,
    }
    histograms = found.histograms((VERSION, "auto"), range(10))
    assert histograms["classes"] == [0, 1, 0, 2, 0, 0, 0, 0, 0, 0]
    assert histograms["confidence"][-1] == 2
    assert sum(histograms["ink"]) == 3


def test_a_tensor_of_the_inference_protocol_counts_as_a_sample_as_it_is() -> None:
    document = json.loads(line())
    for name in ("preprocess", "ink", "stroke", "paper"):
        del document[name]
    found = drift.collect([json.dumps(document)])
    histograms = found.histograms((VERSION, "none"), range(10))
    assert histograms.keys() == {"classes", "confidence"}


@given(st.floats(-10, 10))
def test_every_value_falls_into_one_bin(value: float) -> None:
    for name, (_, _, bins) in traffic.BINS.items():
        counts = traffic.histogram(name, [value])
        assert (len(counts), sum(counts)) == (bins, 1)


@pytest.mark.parametrize(("text", "hours"), [("90m", 1.5), ("24h", 24), ("7d", 168)])
def test_a_period_is_a_number_and_a_unit(text: str, hours: float) -> None:
    assert period(text).total_seconds() == hours * 3600


def sample(thickness: int) -> NDArray[np.uint8]:
    image = np.zeros((28, 28), dtype=np.uint8)
    image[4:24, 10 : 10 + thickness] = 255
    return image


def test_traits_tell_pen_and_page() -> None:
    page = np.full((100, 300, 3), 240, dtype=np.uint8)
    papers = [traits.paper(page), traits.paper(255 - page)]
    found = traits.traits(np.stack([sample(2), sample(5)]), papers)
    assert found["ink"] == pytest.approx([40 / 784, 100 / 784], abs=1e-3)
    assert found["paper"] == [0.941, 0.059]
    assert found["stroke"][0] == pytest.approx(2, abs=0.3)
    assert found["stroke"][1] > 2 * found["stroke"][0] - 0.6


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 500, 3), (28, 28, 1), (3000, 2, 3)])
def test_traits_of_any_picture_are_plain_numbers(shape: tuple[int, ...]) -> None:
    paper = traits.paper(np.full(shape, 7, dtype=np.uint8))
    found = traits.traits(np.zeros((1, 28, 28), dtype=np.uint8), [paper])
    assert json.loads(json.dumps(found)) == {"ink": [0], "stroke": [0], "paper": [0.027]}


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_traits_count_pixels_and_edges(height: int, width: int, seed: int) -> None:
    """Pairs of horizontal or vertical neighbours of which one is ink."""
    image = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    written = image > 127
    edges = sum(int(np.abs(np.diff(written.astype(int), axis=axis)).sum()) for axis in (0, 1))
    found = traits.traits([image], [0.5])
    assert found["ink"] == [pytest.approx(written.mean(), abs=0.5e-4)]
    assert found["stroke"] == [pytest.approx(2 * written.sum() / max(edges, 1), abs=0.5e-3)]


def test_traits_of_a_sample_in_colour_are_those_of_its_green() -> None:
    grey = sample(3)[np.newaxis]
    colour = np.stack([grey // 4, grey, grey // 4], axis=3)
    assert traits.traits(colour, [0.5]) == traits.traits(grey, [0.5])


def test_the_baseline_counts_samples_and_pictures(
    tmp_path: Path, classifier: bytes, mnist: Dataset
) -> None:
    path = tmp_path / "classifier.onnx"
    path.write_bytes(classifier)
    images = mnist.test_images[::50]
    found = baseline.baseline(path, images, {"pipeline": "mnist", "box": 20})
    assert found["samples"].keys() == {"ink", "stroke", "paper"}
    assert found["pictures"].keys() == set(traffic.STATISTICS)
    for histograms in found.values():
        assert {sum(counts) for counts in histograms.values()} == {len(images)}
    other = baseline.baseline(path, images, {"pipeline": "resize"})
    assert other == {"samples": found["samples"]}, "what ordinary pictures are is not known"


@pytest.fixture
def store(tmp_path: Path) -> tuple[ModelStore, str]:
    """Store with a version whose baseline for pictures is uniform over five bins."""
    content = b"a model"
    manifest = describe(content)
    even = {name: [0] * bins for name, (_, _, bins) in traffic.BINS.items()}
    for counts in even.values():
        counts[5:10] = [100] * 5
    manifest["baseline"]["pictures"] = {"classes": [50] * 10, **even}
    models = ModelStore((tmp_path / "store").as_uri())
    models.publish(manifest, content)
    return models, manifest["version"]


def lines(version: str, count: int = 400, mode: str = "auto", pen: float = 0) -> Iterator[str]:
    """Lines of traffic like the baseline; pen: added to every stroke, in pixels."""
    generator = np.random.default_rng(2)
    for number in range(count):
        values = {name: generator.uniform(5, 10) for name in traffic.BINS}
        yield line(
            version,
            mode,
            predictions=[number % 10],
            Confidence=[values["confidence"] / 20],
            ink=[values["ink"] / 50],
            stroke=[values["stroke"] / 5 + pen],
            paper=[values["paper"] / 20],
        )


def run(*arguments: str | Path, stdin: str | None = None) -> tuple[int, str]:
    result = CliRunner().invoke(
        app, ["drift", *map(str, arguments)], input=stdin, catch_exceptions=False
    )
    return result.exit_code, result.stdout


def test_the_command_prints_a_verdict_and_draws_a_plot(
    store: tuple[ModelStore, str], tmp_path: Path
) -> None:
    models, version = store
    file, plot = tmp_path / "log", tmp_path / "plots" / "drift.png"
    options = ("--file", file, "--store", models.url, "--plot", plot)
    file.write_text("\n".join(["no JSON", *lines(version)]))
    code, output = run(*options)
    assert (code, "verdict: none" in output) == (0, True)
    assert "1 of 401 lines were not JSON" in output
    with Image.open(plot) as image:
        assert image.width > 1000
    file.write_text("\n".join(lines(version, pen=1)))
    code, output = run(*options)
    assert (code, "verdict: drift" in output) == (3, True)


def test_the_command_gives_json_and_reads_standard_input(
    store: tuple[ModelStore, str], tmp_path: Path
) -> None:
    models, version = store
    options = ("--file", "-", "--json", "--store", models.url, "--plot", tmp_path / "plot.png")
    code, output = run(*options, stdin="\n".join(lines(version, pen=1)))
    document = json.loads(output)
    assert (code, document["verdict"]) == (3, "drift")
    (report,) = document["reports"]
    verdicts = {name: one["verdict"] for name, one in report["comparisons"].items()}
    assert [name for name, verdict in verdicts.items() if verdict != "none"] == ["stroke"]


def test_each_version_is_compared_with_its_own_baseline(
    store: tuple[ModelStore, str], tmp_path: Path
) -> None:
    """Versions with too little traffic, no manifest or no baseline are listed, but don't decide."""
    models, version = store
    other = "20260201T120000Z-89abcdef"
    mixed = [*lines(version), *lines(version, 30, "none"), *lines(other, 300)]
    reports = drift.compare(drift.collect(mixed), models, "mnist")
    by_group = {(one.version, one.preprocess): one for one in reports}
    assert by_group[version, "auto"].verdict == "none"
    assert by_group[version, "none"].verdict == "too few"
    assert other in by_group[other, "auto"].note
    assert drift.overall(reports) == "none"
    drift.plot(reports, tmp_path / "plot.png")


def test_a_version_published_without_pictures_has_nothing_to_compare_with(tmp_path: Path) -> None:
    models, manifest = ModelStore(tmp_path.as_uri()), describe(b"a model")
    manifest["baseline"] = {"predicted_counts": [0] * 10, "confidence_histogram": [0] * 20}
    version = models.publish(manifest, b"a model").version
    for mode in ("auto", "none"):
        (report,) = drift.compare(drift.collect(lines(version, 300, mode)), models, "mnist")
        assert report.note == f"its manifest has no baseline for preprocess={mode}; pass --baseline"


def test_a_good_time_can_take_the_place_of_the_baseline(
    store: tuple[ModelStore, str], tmp_path: Path
) -> None:
    models, version = store
    good, live = tmp_path / "good", tmp_path / "live"
    good.write_text("\n".join(lines(version, pen=1)))
    live.write_text("\n".join(lines(version, 300, pen=1)))
    options = ("--file", live, "--store", models.url, "--plot", tmp_path / "plot.png")
    assert run(*options)[0] == 3
    assert run(*options, "--baseline", good)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "either --log-group or --file"),
        (("--file", "-", "--log-group", "x"), "either --log-group or --file"),
        (("--file", "missing"), "'missing' is not a file; expected a file, or -"),
        (("--file", "-", "--since", "a day"), "such as 24h, got 'a day'"),
    ],
)
def test_wrong_use_exits_2_and_says_what_was_expected(
    arguments: tuple[str, ...], message: str
) -> None:
    result = CliRunner().invoke(app, ["drift", *arguments], input="nothing")
    assert result.exit_code == 2
    assert message in re.sub(r"[\s│]+", " ", result.stderr)


def test_a_log_without_predictions_can_not_be_compared() -> None:
    with pytest.raises(TrafficError, match="none of the 1 log lines records a prediction"):
        run("--file", "-", stdin="nothing")


def test_lines_come_from_cloudwatch_logs(
    store: tuple[ModelStore, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over HTTP, page by page, sampled across the period: a limit omits no hour."""
    models, version = store
    with serving(monkeypatch):
        import boto3

        logs = boto3.client("logs")
        fill(logs, "/aws/lambda/predict", list(lines(version, pen=1)))
        plot = tmp_path / "plot.png"
        options = ("--log-group", "/aws/lambda/predict", "--store", models.url, "--plot", plot)
        code, output = run(*options, "--json")
        (report,) = json.loads(output)["reports"]
        assert (code, report["images"]) == (3, 400)

        now = int(time.time() * 1000)
        read = list(traffic.read_logs(logs, "/aws/lambda/predict", now - 86_400_000, now, 48))
        assert len(read) == 48
        assert len({json.loads(one)["_aws"]["Timestamp"] // 3_600_000 for one in read}) >= 23
        with pytest.raises(TrafficError, match="log group /none can't be read"):
            run("--log-group", "/none", "--store", models.url, "--plot", plot)
        logs.close()


def fill(logs: Any, group: str, messages: list[str]) -> None:
    """Write lines to a log group, evenly over the last day; each states its time."""
    now = int(time.time() * 1000)
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="one")
    events = []
    for number, message in enumerate(messages):
        moment = now - 86_000_000 + 85_000_000 * number // len(messages)
        document = json.loads(message)
        document["_aws"]["Timestamp"] = moment
        events.append({"timestamp": moment, "message": json.dumps(document)})
    logs.put_log_events(logGroupName=group, logStreamName="one", logEvents=events)


def test_pixels_of_a_real_picture_have_traits(digits: NDArray[np.uint8], tmp_path: Path) -> None:
    path = tmp_path / "digit.png"
    Image.fromarray(255 - digits[3]).save(path)
    picture = pixels.Picture(path.read_bytes())
    assert traits.paper(picture.pixels) == 1
