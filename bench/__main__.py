"""make bench: measure the function and its peers in one run, and write docs/performance.md.

Runs in containers of the base image if Docker has it, so on Lambda's Python, else on the host with
the emulator that the SAM CLI ships. The raw figures are kept in build/bench/results.json.
"""

import argparse
import base64
import datetime as dt
import functools
import io
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bench import ROOT, candidates, imports, report
from bench.candidates import BASE_IMAGES, BUILD, OWN, PACKAGES, STORE, VERSION

PYTHON = ROOT / ".venv/bench/bin/python"
EMULATOR = f".venv/sam/lib/python{VERSION}/site-packages/samcli/local/rapid/aws-lambda-rie-"
COLD = ROOT / "bench/cold.py"
WARM = ROOT / "bench/warm.py"


def main() -> int:
    """Measure, keep the figures, write the report."""
    arguments = argparse.ArgumentParser(prog="make bench", description=__doc__)
    arguments.add_argument("--rounds", type=int, default=21, help="cold starts per candidate")
    arguments.add_argument(
        "--only-report", action="store_true", help="write the report from the last figures"
    )
    chosen = arguments.parse_args()
    results = BUILD / "results.json"
    if not chosen.only_report:
        BUILD.mkdir(parents=True, exist_ok=True)
        results.write_text(json.dumps(measure(chosen.rounds), indent=1))
    report.write(json.loads(results.read_text()))
    return 0


def measure(rounds: int) -> dict[str, Any]:
    """Measure everything in the report."""
    load_before = os.getloadavg()[0]
    candidates.prepare()
    docker = base_image() is not None
    results: dict[str, Any] = {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "machine": machine(docker=docker) | {"load": round(load_before, 2), "docker": docker},
        "rounds": rounds,
        "cold": cold(rounds, docker=docker),
        **{what: warm(what, docker=docker) for what in ("requests", "stages", "models", "memory")},
        "imports": import_time(docker=docker),
        "image": layers() if docker else None,
    }
    results["machine"]["load after"] = round(os.getloadavg()[0], 2)
    return results


@functools.cache
def base_image() -> str | None:
    """Name of the local base image; None without Docker or an image."""
    if not shutil.which("docker"):
        return None
    for name in BASE_IMAGES:
        command = ["docker", "image", "inspect", name]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            return name
    return None


def cold(rounds: int, *, docker: bool) -> dict[str, Any]:
    """Cold starts of all candidates."""
    spec_file = BUILD / "cold.json"
    if docker:
        spec = candidates.spec(rounds, emulator="/usr/local/bin/aws-lambda-rie", python="python")
    else:
        emulator = f"{ROOT}/{EMULATOR}{'arm64' if platform.machine() == 'aarch64' else 'x86_64'}"
        spec = candidates.spec(rounds, emulator=emulator, python=str(PYTHON))
    spec_file.write_text(json.dumps(spec))
    command = [*interpreter({}, docker=docker), str(COLD), str(spec_file)]
    samples: dict[str, Any] = json.loads(subprocess.check_output(command))
    return samples


def interpreter(settings: Mapping[str, str], *, docker: bool) -> list[str]:
    """Command for a Python whose environment is only these settings and the host's PATH.

    With Docker it is the base image's Python, in a container, with the image's PATH.
    """
    variables = [f"{name}={value}" for name, value in settings.items()]
    if not docker:
        return ["env", "-i", f"PATH={os.environ['PATH']}", *variables, str(PYTHON)]
    run = ["docker", "run", "--rm", "--volume", f"{ROOT}:{ROOT}:ro"]
    return [
        *run,
        *(f"--env={variable}" for variable in variables),
        "--entrypoint",
        "python",
        str(base_image()),
    ]


def warm(what: str, *, docker: bool) -> dict[str, Any]:
    """One of warm.py's measurements, in its own process."""
    input_file = BUILD / "warm.json"
    versions = candidates.versions()
    input_file.write_text(
        json.dumps(
            {
                "events": events(),
                "models": {"int8": str(versions.file), "fp32": str(versions.parent)},
            }
        )
    )
    print(what, file=sys.stderr)  # noqa: T201
    settings = environment() | {"MODEL_FILE": str(versions.file)}
    command = [*interpreter(settings, docker=docker), str(WARM), what, str(input_file)]
    figures: dict[str, Any] = json.loads(subprocess.check_output(command))
    return figures


def environment() -> dict[str, str]:
    """Environment of a process that runs the function, with the model in a folder."""
    return {
        "PYTHONPATH": f"{BUILD / 'task'}:{BUILD / 'peers'}:{PACKAGES}",
        "MODEL_STORE_URL": STORE.as_uri(),
        "ORT_DISABLE_TELEMETRY": "1",
        "POWERTOOLS_SERVICE_NAME": "predict",
        # The runtime client sets it for every request.
        "_X_AMZN_TRACE_ID": "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1",
        **OWN,
    }


def events() -> dict[str, Any]:
    """A sample, a drawing on a canvas, a phone's photo of a digit, and a batch of samples."""
    digit = candidates.sample()
    canvas = np.full((280, 280), 255, dtype=np.uint8)
    canvas[40:236, 50:246] = 255 - np.asarray(Image.fromarray(digit).resize((196, 196)))
    return {
        "digit": candidates.event({"image": _text(candidates.png(digit))}),
        "drawing": candidates.event({"image": _text(candidates.png(canvas))}),
        "photo": candidates.event({"image": _text(photo())}),
        "batch": candidates.event({"images": [_text(candidates.png(digit))] * 32}),
    }


def photo() -> bytes:
    """A JPEG of 4000 x 3000 pixels: a digit in ink on paper, with a sensor's noise."""
    noise = np.random.default_rng(0).normal(0, 4, (3000, 4000, 3))
    digit = Image.fromarray(255 - candidates.sample()).resize((2000, 2000))
    page = np.full((3000, 4000), 235.0)
    page[500:2500, 1000:3000] = np.asarray(digit, dtype=np.float64) * (235 / 255)
    picture = np.clip(page[:, :, np.newaxis] + noise, 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=80)
    return file.getvalue()


def import_time(*, docker: bool) -> str:
    """Output of -X importtime for the fastest of seven imports of the function."""
    printed = [
        subprocess.run(
            [
                *interpreter(environment(), docker=docker),
                *("-X", "importtime", "-c", "import awslambdaric.bootstrap, app"),
            ],
            check=True,
            capture_output=True,
            text=True,
        ).stderr
        for _ in range(7)
    ]
    return min(printed, key=lambda text: sum(module.total for module in imports.parse(text)))


def layers() -> dict[str, float]:
    """Uncompressed size of the image's layers over those of the base, in MB."""
    tag = "classifier-on-lambda/bench"
    build = ["docker", "build", "--quiet", "--tag", tag, "--target", "function"]
    build += ["--build-arg", f"BASE={base_image()}"]
    subprocess.run([*build, "."], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    sizes = [
        int(subprocess.check_output(["docker", "image", "inspect", "-f", "{{.Size}}", name]))
        for name in (tag, str(base_image()))
    ]
    return {"over the base": (sizes[0] - sizes[1]) / 1e6, "base": sizes[1] / 1e6}


def machine(*, docker: bool) -> dict[str, Any]:
    """The machine that this was measured on."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    flags = Path("/proc/cpuinfo").read_text()
    version = [
        *interpreter({}, docker=docker),
        "-c",
        "import platform as p; print(p.python_version())",
    ]
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "vnni": "avx512_vnni" in flags or "avx_vnni" in flags,
        "python": subprocess.check_output(version, text=True).strip(),
        "kernel": platform.release().partition("-")[0],
    }


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


if __name__ == "__main__":
    sys.exit(main())
