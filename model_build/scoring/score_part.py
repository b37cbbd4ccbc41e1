"""Read and classify one part of a folder of images: the work of one process of `score`.

It imports as little as possible, because every process starts with it (docs/batch.md).
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

_CHUNK = (
    64  # images read, then classified: S3 serves as many in parallel, and they fit in the cache
)

type Content = bytes | errors.PredictError
type Read = Callable[[list[str]], Iterator[list[Content]]]  # chunk by chunk, in the keys' order


@dataclass(frozen=True)
class Endpoint:
    """Endpoint of a bucket's region."""

    url: str
    region: str


@dataclass(frozen=True)
class Job:
    """Images to score, the model, and how the answers are written.

    source, target: `file://…` or `s3://…`. form: jsonl or csv. part_size: images per part.
    probabilities: write every class's probability.
    """

    source: str
    target: str
    name: str
    version: str
    mode: str = "auto"  # of preprocessing: auto or none
    form: str = "jsonl"
    part_size: int = 500
    probabilities: bool = False


class _Preloaded:
    """A store of files that the parent process has read once for all processes."""

    def __init__(self, contents: dict[str, bytes]) -> None:
        self._contents = contents

    def read(self, key: str, _most: int) -> bytes:
        return self._contents[key]

    def open(self, key: str, _size: int) -> io.BytesIO:
        return io.BytesIO(self._contents[key])


@dataclass(frozen=True)
class _Worker:
    job: Job
    model: session.Model
    read: Read


_worker: _Worker


def start(job: Job, model: dict[str, bytes], endpoint: Endpoint | None) -> None:
    """Prepare this process. model: the model's files by key. endpoint: of the source's bucket."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    global _worker  # noqa: PLW0603 - kept by a pool process from part to part
    loaded = session.load(_Preloaded(model), job.name, job.version)
    _worker = _Worker(job, loaded, _reader(job.source, endpoint))


def _end_with_parent() -> None:
    """Exit when the parent is killed: a pool's processes would wait for work indefinitely."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def classify(keys: list[str]) -> tuple[bytes, int]:
    """Content of the part with the answers for these keys, and the number of errors in it."""
    job = _worker.job
    answers: list[dict[str, Any]] = []
    for contents in _worker.read(keys):
        answers += batch.classify(_worker.model, contents, "none" if job.mode == "none" else "auto")
    rows = [{"key": key, **answer} for key, answer in zip(keys, answers, strict=True)]
    if not job.probabilities:
        for row in rows:
            row.pop("probabilities", None)
    content = _csv(rows, _worker.model, job) if job.form == "csv" else _jsonl(rows)
    return content, sum("error" in row for row in rows)


def rows_of(content: bytes, form: str) -> Iterator[dict[str, Any]]:
    """Answers of one part as written; for csv, the fields that are not empty, as text."""
    text = content.decode()
    if form == "csv":
        for row in csv.DictReader(io.StringIO(text)):
            yield {name: value for name, value in row.items() if value}
    else:
        yield from (json.loads(line) for line in text.splitlines())


def endpoint_of(source: str) -> Endpoint | None:
    """Endpoint of a source's bucket; None for a folder. Raises StoreError."""
    address = parse_address(source)
    if isinstance(address, Folder):
        return None
    import boto3  # noqa: PLC0415 - not needed for a folder
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    try:
        client = boto3.client("s3")
        head = client.head_bucket(Bucket=address.name)
    except (BotoCoreError, ClientError, ValueError) as error:  # ValueError: invalid endpoint URL
        raise StoreError(f"s3://{address.name}: {error}") from error
    region = head.get("BucketRegion", client.meta.region_name)  # other servers may omit it
    return Endpoint(boto3.client("s3", region_name=region).meta.endpoint_url, region)


def _reader(source: str, endpoint: Endpoint | None) -> Read:
    address = parse_address(source)
    if isinstance(address, Folder):
        return _file_reader(Path(address.path))
    assert endpoint
    return _object_reader(address.name, address.prefix, endpoint)


def _file_reader(folder: Path) -> Read:
    """Read files one by one: threads would be slower."""

    def read_file(key: str) -> Content:
        try:
            return (folder / key).read_bytes()
        except FileNotFoundError:
            return _removed()

    def read(keys: list[str]) -> Iterator[list[Content]]:
        for chunk in batched(keys, _CHUNK, strict=False):
            yield [read_file(key) for key in chunk]

    return read


def _object_reader(bucket: str, prefix: str, endpoint: Endpoint) -> Read:
    """Read the next chunk while one is classified; boto3 takes ten times as long per object.

    docs/batch.md has the figures.
    """
    from obstore.auth.boto3 import Boto3CredentialProvider  # noqa: PLC0415 - as above
    from obstore.exceptions import BaseError  # noqa: PLC0415
    from obstore.store import S3Store  # noqa: PLC0415

    objects = S3Store(
        bucket,
        prefix=prefix or None,
        config={"endpoint": endpoint.url, "region": endpoint.region},
        client_options={"allow_http": endpoint.url.startswith("http://")},  # a local S3
        credential_provider=Boto3CredentialProvider(),  # supports profiles, and renews credentials
    )

    boto3_objects = cache(lambda: open_objects(f"s3://{bucket}/{prefix}"))

    def read_object(key: str) -> Content:
        try:
            if batch.is_path(key):
                return bytes(objects.get(key).bytes())
            return boto3_objects().read(key)[0]
        except (FileNotFoundError, NotInStore):
            return _removed()
        except BaseError as error:
            raise StoreError(f"s3://{bucket}/{prefix}/{key}: {error}") from error

    def read(keys: list[str]) -> Iterator[list[Content]]:
        with ThreadPoolExecutor(_CHUNK) as threads:
            ahead: list[Future[Content]] = []
            for chunk in batched(keys, _CHUNK, strict=False):
                current, ahead = ahead, [threads.submit(read_object, key) for key in chunk]
                if current:
                    yield [content.result() for content in current]
            yield [content.result() for content in ahead]

    return read


def _removed() -> errors.PredictError:
    return errors.UnreadableImage("removed after it was listed")


def _jsonl(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def _csv(rows: list[dict[str, Any]], model: session.Model, job: Job) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    classes = [f"p_{label}" for label in model.labels] if job.probabilities else []
    fields = ["key", "prediction", "confidence"]
    if model.manifest.rejection:
        fields.append(model.manifest.score_name)
    writer.writerow([*fields, *classes, "error"])
    for row in rows:
        shares = row.get("probabilities", [""] * len(classes))
        writer.writerow([*map(row.get, fields), *shares, row.get("error")])
    return text.getvalue().encode()
