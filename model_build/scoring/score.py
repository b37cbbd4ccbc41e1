"""Classify a folder of images on every core, part by part; a rerun does the remaining parts.

OUT/plan.json         images, model and options: written once, and checked by every rerun
OUT/part-00000.jsonl  answers for the first images by name; a part appears whole or not at all

docs/batch.md compares it with the state machine for millions of images.
"""

import contextlib
import hashlib
import json
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

from classifier.model.manifest import VERSION
from model_build.errors import Conflict, NotInStore, StepError
from model_build.scoring import score_part
from model_build.scoring.score_part import Job
from model_build.store import manifest as manifests
from model_build.store.backends import UNFINISHED, Objects, open_objects
from model_build.store.model_store import FINDER, MANIFEST, MODEL, ModelStore

PLAN = "plan.json"

type OnPart = Callable[[int, int, bool], None]  # images, errors, whether an earlier run did it


@dataclass(frozen=True)
class Totals:
    """Images processed in this run and earlier ones, and how many of them failed."""

    images: int
    errors: int


def resolve(store: ModelStore, name: str, version: str, target: str) -> str:
    """Version to score with; a rerun keeps its version even if the channel has moved."""
    if not VERSION.fullmatch(version):
        with contextlib.suppress(NotInStore):
            model = json.loads(open_objects(target).read(PLAN)[0])["model"]
            return str(model["version"])
    return store.resolve(name, version)


def parts(job: Job) -> list[list[str]]:
    """Keys of the images by name, part by part; writes the plan, or checks it on a rerun.

    Raises StepError for a folder without files, and if OUT holds another job's answers.
    """
    if f"{job.target}/".startswith(f"{job.source}/"):
        raise StepError(
            f"OUT must not be inside IN, or its parts would be read as images; got {job.target} in "
            f"{job.source}"
        )
    entries = sorted(
        (entry.key, entry.bytes)
        for entry in open_objects(job.source).entries("")
        if entry.key
        and not entry.key.endswith("/")
        and not entry.key.rpartition("/")[2].startswith(UNFINISHED)
    )
    if not entries:
        raise StepError(f"{job.source} has no files; expected a folder of images")
    digest = hashlib.sha256()
    for key, size in entries:
        digest.update(f"{key}\0{size}\n".encode())
    plan = {
        "source": {"images": len(entries), "sha256": digest.hexdigest()},
        "model": {"name": job.name, "version": job.version},
        "preprocess": job.mode,
        "format": job.form,
        "part_size": job.part_size,
        "probabilities": job.probabilities,
    }
    _keep_plan(open_objects(job.target), plan, job)
    keys = [key for key, _ in entries]
    return [keys[start : start + job.part_size] for start in range(0, len(keys), job.part_size)]


def score(job: Job, store: ModelStore, workers: int, on_part: OnPart) -> Totals:
    """Score the parts that earlier runs have not; `on_part` is called for every part."""
    planned = parts(job)
    version = job.version
    model = {
        f"{job.name}/versions/{version}/{MANIFEST}": manifests.encode(
            store.manifest(job.name, version).document
        ),
        f"{job.name}/versions/{version}/{MODEL}": store.model(job.name, version),
    }
    if (finder := store.finder(job.name, version)) is not None:
        model[f"{job.name}/versions/{version}/{FINDER}"] = finder
    target = open_objects(job.target)
    finished = {entry.key for entry in target.entries("")}
    remaining = [index for index in range(len(planned)) if _part(job, index) not in finished]
    images = failed = 0
    for index in sorted(set(range(len(planned))) - set(remaining)):
        count = _errors_in(target.read(_part(job, index))[0], job.form)
        images, failed = images + len(planned[index]), failed + count
        on_part(len(planned[index]), count, True)  # noqa: FBT003 - done before
    if not remaining:
        return Totals(images, failed)
    for threads in ("OPENBLAS_NUM_THREADS", "MODEL_THREADS"):
        os.environ.setdefault(threads, "1")  # one process per core, without threads
    with ProcessPoolExecutor(
        min(workers, len(remaining)),
        multiprocessing.get_context("spawn"),  # onnxruntime's threads don't survive a fork
        initializer=score_part.start,
        initargs=(job, model, score_part.endpoint_of(job.source)),
    ) as pool:
        running = {pool.submit(score_part.classify, planned[index]): index for index in remaining}
        try:
            for done in as_completed(running):
                index = running.pop(done)  # frees the part's content
                content, count = done.result()
                with contextlib.suppress(Conflict):  # a concurrent run wrote the same answers
                    target.create(_part(job, index), content)
                size = len(planned[index])
                images, failed = images + size, failed + count
                on_part(size, count, False)  # noqa: FBT003 - done now
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return Totals(images, failed)


def _part(job: Job, index: int) -> str:
    return f"part-{index:05d}.{job.form}"


def _errors_in(content: bytes, form: str) -> int:
    return sum("error" in row for row in score_part.rows_of(content, form))


def _keep_plan(target: Objects, plan: dict[str, Any], job: Job) -> None:
    try:
        target.create(PLAN, manifests.encode(plan))
    except Conflict:
        old = json.loads(target.read(PLAN)[0])
        changed = [name for name in plan if old.get(name) != plan[name]]
        if changed:
            raise StepError(
                f"{job.target} has results of another job ({', '.join(changed)} differ); use "
                "another OUT, or repeat the first run's options on the same images"
            ) from None
