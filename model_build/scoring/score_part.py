"""One part of a folder of images, read and classified: what a process of `score` does.

It imports no more than that takes, because each process starts with it (docs/batch.md).
"""

import csv
import io
import json
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import batched
from pathlib import Path
from typing import Any

from classifier import batch, errors
from classifier.model import session
from classifier.model.address import Folder, parse_address
from model_build.errors import NotInStore, StoreError
from model_build.store.backends import open_objects

_SOME = 64  # images read, then classified: S3 answers so many at once, and they fit into the caches

type Content = bytes | errors.PredictError
type Read = Callable[[list[str]], Iterator[list[Content]]]  # some keys at a time, in their order


@dataclass(frozen=True)
class Endpoint:
    """Where S3 answers for a bucket."""

    url: str
    region: str


@dataclass(frozen=True)
class Job:
    """What is scored, with what, and how the answers are written.

    source, target: `file://…` or `s3://…`. form: jsonl or csv. part_size: images a part.
    probabilities: of every class, in each answer.
    """

    source: str
    target: str
    name: str
    version: str
    mode: str = "auto"  # of preprocessing: auto or none
    form: str = "jsonl"
    part_size: int = 500
    probabilities: bool = False


class _Given:
    """A store that holds what the parent process has read: one read for all processes."""

    def __init__(self, contents: dict[str, bytes]) -> None:
        self._contents = contents

    def read(self, key: str) -> bytes:
        return self._contents[key]


@dataclass(frozen=True)
class _Worker:
    job: Job
    model: session.Model
    read: Read


_worker: _Worker


def start(job: Job, model: dict[str, bytes], endpoint: Endpoint | None) -> None:
    """Prepare this process. model: the model's files by their keys. endpoint: of a bucket."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    global _worker  # noqa: PLW0603 - what a process of the pool keeps from part to part
    loaded = session.load(_Given(model), job.name, job.version)
    _worker = _Worker(job, loaded, _reader(job.source, endpoint))


def _end_with_parent() -> None:
    """A pool's processes wait for work even after the parent was killed."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def classify(keys: list[str]) -> tuple[bytes, int]:
    """Content of the part that answers these keys, and the number of errors in it."""
    job = _worker.job
    found: list[dict[str, Any]] = []
    for contents in _worker.read(keys):
        found += batch.classify(_worker.model, contents, "none" if job.mode == "none" else "auto")
    rows = [{"key": key, **one} for key, one in zip(keys, found, strict=True)]
    if not job.probabilities:
        for row in rows:
            row.pop("probabilities", None)
    content = _csv(rows, _worker.model.labels, job) if job.form == "csv" else _jsonl(rows)
    return content, sum("error" in row for row in rows)


def rows_of(content: bytes, form: str) -> Iterator[dict[str, Any]]:
    """Answers of one part, as they were written; of csv, texts without the empty ones."""
    text = content.decode()
    if form == "csv":
        for row in csv.DictReader(io.StringIO(text)):
            yield {name: value for name, value in row.items() if value}
    else:
        yield from (json.loads(line) for line in text.splitlines())


def endpoint_of(source: str) -> Endpoint | None:
    """Find out where the bucket of a source is; none for a folder. Raises StoreError."""
    address = parse_address(source)
    if isinstance(address, Folder):
        return None
    import boto3  # noqa: PLC0415 - a folder needs none of it
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    try:
        client = boto3.client("s3")
        found = client.head_bucket(Bucket=address.name)
    except (BotoCoreError, ClientError, ValueError) as error:  # ValueError: no endpoint's URL
        raise StoreError(f"s3://{address.name}: {error}") from error
    region = found.get("BucketRegion", client.meta.region_name)  # other servers may not say it
    return Endpoint(boto3.client("s3", region_name=region).meta.endpoint_url, region)


def _reader(source: str, endpoint: Endpoint | None) -> Read:
    address = parse_address(source)
    if isinstance(address, Folder):
        return _file_reader(Path(address.path))
    assert endpoint
    return _object_reader(address.name, address.prefix, endpoint)


def _file_reader(folder: Path) -> Read:
    """One by one: threads take longer than the files."""

    def one(key: str) -> Content:
        try:
            return (folder / key).read_bytes()
        except FileNotFoundError:
            return _removed()

    def read(keys: list[str]) -> Iterator[list[Content]]:
        for some in batched(keys, _SOME, strict=False):
            yield [one(key) for key in some]

    return read


def _object_reader(bucket: str, prefix: str, endpoint: Endpoint) -> Read:
    """The next while these are classified; by obstore, as boto3 takes ten times as long an object.

    docs/batch.md has the figures.
    """
    from obstore.auth.boto3 import Boto3CredentialProvider  # noqa: PLC0415 - a folder needs none
    from obstore.exceptions import BaseError  # noqa: PLC0415
    from obstore.store import S3Store  # noqa: PLC0415

    objects = S3Store(
        bucket,
        prefix=prefix or None,
        config={"endpoint": endpoint.url, "region": endpoint.region},
        client_options={"allow_http": endpoint.url.startswith("http://")},  # a local S3
        credential_provider=Boto3CredentialProvider(),  # profiles too, and new ones in time
    )

    slower = cache(lambda: open_objects(f"s3://{bucket}/{prefix}"))

    def one(key: str) -> Content:
        try:
            if batch.is_path(key):
                return bytes(objects.get(key).bytes())
            return slower().read(key)[0]
        except (FileNotFoundError, NotInStore):
            return _removed()
        except BaseError as error:
            raise StoreError(f"s3://{bucket}/{prefix}/{key}: {error}") from error

    def read(keys: list[str]) -> Iterator[list[Content]]:
        with ThreadPoolExecutor(_SOME) as threads:
            ahead: list[Future[Content]] = []
            for some in batched(keys, _SOME, strict=False):
                current, ahead = ahead, [threads.submit(one, key) for key in some]
                if current:
                    yield [content.result() for content in current]
            yield [content.result() for content in ahead]

    return read


def _removed() -> errors.PredictError:
    return errors.UnreadableImage("it was removed after it had been listed")


def _jsonl(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def _csv(rows: list[dict[str, Any]], labels: list[Any], job: Job) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    classes = [f"p_{label}" for label in labels] if job.probabilities else []
    writer.writerow(["key", "prediction", "confidence", *classes, "error"])
    for row in rows:
        shares = row.get("probabilities", [""] * len(classes))
        writer.writerow(
            [row["key"], row.get("prediction"), row.get("confidence"), *shares, row.get("error")]
        )
    return text.getvalue().encode()
