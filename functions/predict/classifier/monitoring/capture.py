"""Store a random share of inputs in S3, for labelling; off unless CAPTURE_URL is set.

Only the model's input is stored, never the picture. docs/drift.md has the cost and the expiry.
"""

import io
import json
import os
import random
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from PIL import Image

from classifier.model.address import AddressError, Folder, parse_address
from classifier.model.session import Model
from classifier.model.store import open_bucket
from classifier.prepare.encoding import Sample, Samples

if TYPE_CHECKING:
    from obstore.store import S3Store as Bucket

_SECONDS = 1.0  # timeout of one write, not retried: the client is waiting


def keep(
    loaded: Model, samples: Samples, answers: Sequence[dict[str, Any]], request_id: str
) -> list[str]:
    """Write a share of samples uint8 [H, W] or [H, W, 3]; return the keys written.

    Environment: CAPTURE_URL, s3://bucket/prefix; CAPTURE_SHARE, 0 to 1 (default 0.01). Each sample
    becomes a PNG and a JSON document of the same name, in the model's folder. Errors are the
    caller's to log.
    """
    share = float(os.environ.get("CAPTURE_SHARE", "0.01"))
    chosen = [index for index in range(len(answers)) if random.random() < share]  # noqa: S311 - no secret
    if not chosen:
        return []
    bucket = _bucket(os.environ["CAPTURE_URL"])
    objects: list[tuple[str, bytes]] = []
    for index in chosen:
        key = time.strftime(f"{loaded.name}/%Y/%m/%d/{uuid.uuid4().hex}", time.gmtime())
        document = {
            **{name: answers[index][name] for name in ("prediction", "confidence")},
            "model": {"name": loaded.name, "version": loaded.version},
            "request_id": request_id,
            "index": index,
        }
        objects.append((f"{key}.png", _png(samples[index])))
        objects.append((f"{key}.json", json.dumps(document).encode()))
    with ThreadPoolExecutor(min(len(objects), 16)) as writers:
        list(writers.map(lambda item: bucket.put(*item), objects))
    return [key for key, _ in objects]


@lru_cache(maxsize=1)  # keeps connections open between requests
def _bucket(url: str) -> "Bucket":
    address = parse_address(url)
    if isinstance(address, Folder):
        raise AddressError(f"{url!r} is a folder; expected s3://bucket/prefix")
    return open_bucket(*address, seconds=_SECONDS, retries=0)


def _png(sample: Sample) -> bytes:
    file = io.BytesIO()
    Image.fromarray(sample).save(file, "PNG")
    return file.getvalue()
