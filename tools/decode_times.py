"""Time the decoding of JPEGs of 12 megapixels against a full decode, as a Markdown table.

python -m tools.decode_times
"""

import io
import time
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from classifier.image import pixels
from model_build.data.datasets import load_mnist_5k

_ROUNDS = 7  # the least time of so many counts: other work on the machine only adds


def main(sizes: Sequence[int] = (4000, 3000)) -> None:
    """Print a line for each kind of file."""
    print("| noise | quality | kind | chroma | MB | full, ms | `pixels.decode` | floor |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for noise in (0, 2, 4):
        picture = photo(sizes[0], sizes[1], noise)
        for quality in (85, 95):
            for kind, progressive in (("baseline", False), ("progressive", True)):
                for chroma, subsampling in (("4:4:4", 0), ("4:2:0", 2)):
                    file = io.BytesIO()
                    picture.save(
                        file,
                        "JPEG",
                        quality=quality,
                        progressive=progressive,
                        subsampling=subsampling,
                    )
                    data = file.getvalue()
                    full, ours, floor = fastest(
                        lambda data=data: full_decode(data),  # type: ignore[misc]
                        lambda data=data: pixels.decode(data),  # type: ignore[misc]
                        lambda data=data: eighth_in_grey(data),  # type: ignore[misc]
                    )
                    print(
                        f"| {noise} | {quality} | {kind} | {chroma} | {len(data) / 1e6:.1f} | "
                        f"{full * 1000:.0f} | {ours / full:.2f} | {floor / full:.2f} |",
                        flush=True,
                    )


def photo(width: int, height: int, noise: float) -> Image.Image:
    """Blue digit on cream paper, in light that falls off; noise: deviation of each channel."""
    side = height // 3
    digit = Image.fromarray(load_mnist_5k().test_images[300])
    ink = np.zeros((height, width, 1), dtype=np.float32)
    ink[side : 2 * side, side : 2 * side, 0] = np.asarray(digit.resize((side, side))) / 255
    light = 1 - np.linspace(0, 0.3, width, dtype=np.float32)[:, np.newaxis]
    page = np.array([235, 228, 212], dtype=np.float32)
    picture = (page + ink * (np.array([25, 45, 140], dtype=np.float32) - page)) * light
    generator = np.random.default_rng(0)
    picture += noise * generator.standard_normal(picture.shape, dtype=np.float32)
    return Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))


def full_decode(data: bytes) -> None:
    """Decode as Pillow does by itself."""
    Image.open(io.BytesIO(data)).load()


def eighth_in_grey(data: bytes) -> None:
    """Decode as little as Pillow can."""
    image = Image.open(io.BytesIO(data))
    image.draft("L", (image.width // 8, image.height // 8))
    image.load()


def fastest(*calls: Callable[[], object]) -> list[float]:
    """Least processor time of each call, in seconds; they take turns."""
    least = [float("inf")] * len(calls)
    for _ in range(_ROUNDS):
        for place, call in enumerate(calls):
            started = time.process_time()
            call()
            least[place] = min(least[place], time.process_time() - started)
    return least


if __name__ == "__main__":
    main()
