"""Make the hostile corpus: requests that try to break the service, one file each.

    python -m tests.support.hostile_files [FOLDER]

The default folder is tests/support/hostile, which git ignores: 100 MB, always the same.
tests/integration/test_hostile.py sends all of it to a running service.
"""

import base64
import io
import json
import random
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from classifier.image import formats
from tests.support import heic  # noqa: F401 - so that Pillow saves it

FOLDER = Path(__file__).with_name("hostile")
MEBIBYTES_4 = 4 * 1024 * 1024  # what a body may have
MEGAPIXELS_16 = (4000, 4000)  # what an image may have
FORM = "multipart/form-data; boundary=x"
PREDICT = "/predict"
INFER = "/v2/models/mnist/infer"
REFUSED = frozenset({400, 413, 415, 422})
PICTURE = frozenset({200, 422})  # what a decoder may make sense of, or not


@dataclass(frozen=True)
class Request:
    """A body, its content type, its path and the acceptable statuses."""

    body: bytes
    content_type: str | None
    statuses: frozenset[int]
    path: str = PREDICT


type Make = Callable[[], Request]
CASES: dict[str, Make] = {}


def case(
    content_type: str | None, *statuses: int, path: str = PREDICT
) -> Callable[[Callable[[], bytes]], Callable[[], bytes]]:
    """Register a function that makes a body; its name is the case's."""

    def register(make: Callable[[], bytes]) -> Callable[[], bytes]:
        def request() -> Request:
            body = make()
            return Request(body, content_type, frozenset(statuses) or REFUSED, path)

        CASES[make.__name__] = request
        return make

    return register


def main() -> None:
    """Write every case as `<name>.bin`, and `index.json` that says how to send it."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    index = {}
    for name, make in CASES.items():
        request = make()
        (folder / f"{name}.bin").write_bytes(request.body)
        index[name] = {
            "path": request.path,
            "content_type": request.content_type,
            "statuses": sorted(request.statuses),
        }
    (folder / "index.json").write_text(json.dumps(index, indent=1) + "\n")
    sys.stdout.write(f"wrote {len(index)} requests to {folder}\n")


# Files that are pictures, to start from.


def digit(side: int = 96, mode: str = "L") -> Image.Image:
    """Draw a seven, dark on light."""
    image = Image.new("L", (side, side), 235)
    seven = [(side * x // 96, side * y // 96) for x, y in [(28, 24), (68, 24), (44, 76)]]
    ImageDraw.Draw(image).line(seven, fill=20, width=max(1, side // 12))
    return image.convert(mode)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Encode an image."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    """One chunk of a PNG, with its checksum."""
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def png(width: int, height: int, *, depth: int = 8, color: int = 0, row: bytes = b"") -> bytes:
    """PNG whose rows are all the same; color as in the standard: 0 grey, 2 RGB, 6 RGBA."""
    packer = zlib.compressobj(9)
    packed = b""
    rows_at_once = 1 + 1_000_000 // (1 + len(row))
    for top in range(0, height if row else 0, rows_at_once):
        packed += packer.compress((b"\x00" + row) * min(rows_at_once, height - top))
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", packed + packer.flush())
        + chunk(b"IEND", b"")
    )


def tiff(entries: list[tuple[int, int, int, int]], content: bytes = b"") -> bytes:
    """TIFF of one directory, little-endian: (tag, type, count, value or offset) each."""
    directory = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return (
        b"II*\x00\x08\x00\x00\x00"
        + struct.pack("<H", len(entries))
        + directory
        + bytes(4)
        + content
    )


def grey_tiff(width: int, height: int, strips: int, *more: tuple[int, int, int, int]) -> bytes:
    """Uncompressed TIFF with this many one-row strips, all at the same offset."""
    entries = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1)]
    entries += [(262, 3, 1, 1), (273, 3, strips, 256), (277, 3, 1, 1), (278, 4, 1, 1), *more]
    return tiff(entries, bytes(300) + b"\x80\x00" * strips)


def webp_canvas(width: int, height: int) -> bytes:
    """Animated WebP of 16 x 16 pixels on a canvas of any size."""
    picture = saved(digit(16, "RGBA"), "WEBP", lossless=True)[12:]
    side = (15).to_bytes(3, "little")
    frame = bytes(6) + side + side + b"\x10\x00\x00\x00" + picture
    canvas = (
        b"\x12\x00\x00\x00" + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    )
    chunks = [(b"VP8X", canvas), (b"ANIM", b"\xff\xff\xff\xff\x00\x00"), (b"ANMF", frame)]
    content = b"WEBP" + b"".join(name + struct.pack("<I", len(c)) + c for name, c in chunks)
    return b"RIFF" + struct.pack("<I", len(content)) + content


def base64_json(*images: bytes) -> bytes:
    """Encode images as the body of a batch."""
    return json.dumps({"images": [base64.b64encode(image).decode() for image in images]}).encode()


def form(*parts: tuple[str, bytes]) -> bytes:
    """Encode fields as a form whose boundary is x."""
    head = 'Content-Disposition: form-data; name="{}"; filename="a.png"'
    fields = [
        b"--x\r\n" + head.format(name).encode() + b"\r\n\r\n" + content + b"\r\n"
        for name, content in parts
    ]
    return b"".join(fields) + b"--x--\r\n"


def tensor(data: str, shape: str = "[1, 28, 28]") -> bytes:
    """Body of an inference request, with its numbers verbatim."""
    described = f'"name": "image", "datatype": "FP32", "shape": {shape}, "data": {data}'
    return f'{{"inputs": [{{{described}}}]}}'.encode()


# Damaged files of every format: cut off, and with some bits turned over.


def damaged() -> Iterator[tuple[str, Make]]:
    """Cases of every format; the seed alone decides which bytes are damaged."""
    for accepted in formats.ACCEPTED:
        kind = accepted.name
        files = {"grey": saved(digit(mode="L"), kind), "color": saved(digit(mode="RGB"), kind)}
        content_type = accepted.media_types[0]
        for style, whole in files.items():
            for percent in (1, 10, 50, 90, 99):
                cut = whole[: max(1, len(whole) * percent // 100)]
                yield (
                    f"{kind.lower()}_{style}_cut_at_{percent}",
                    lambda cut=cut, content_type=content_type: Request(  # type: ignore[misc]
                        cut, content_type, PICTURE
                    ),
                )
            for seed in range(12):
                flipped = flip(whole, seed)
                yield (
                    f"{kind.lower()}_{style}_flipped_{seed}",
                    lambda flipped=flipped, content_type=content_type: Request(  # type: ignore[misc]
                        flipped, content_type, PICTURE | REFUSED
                    ),
                )


def flip(content: bytes, seed: int) -> bytes:
    """Flip 1 to 8 bits, most of them near the start, where the headers are."""
    dice = random.Random(seed)
    turned = bytearray(content)
    for _ in range(1 + seed % 8):
        position = dice.randrange(min(len(turned), dice.choice([40, 200, len(turned)])))
        turned[position] ^= 1 << dice.randrange(8)
    return bytes(turned)


CASES.update(damaged())


# More pixels than a request may have, in a few bytes.


@case("image/png", 413)
def png_of_4_gigapixels() -> bytes:
    return png(65535, 65535, depth=1)


@case("image/png", 413, 422)
def png_of_the_largest_size() -> bytes:
    return png(2**31 - 1, 2**31 - 1, color=6)


@case("image/png", 413)
def png_of_17_megapixels() -> bytes:
    return png(4001, 4249, depth=1, row=bytes(501))


@case("image/gif", 413)
def gif_of_4_gigapixels() -> bytes:
    screen = struct.pack("<HH", 65535, 65535)
    return (
        b"GIF89a" + screen + b"\x80\0\0" + bytes(6) + b"," + bytes(4) + screen + b"\0\2\2\x44\1\0;"
    )


@case("image/gif", 413, 422)
def gif_whose_frame_is_larger_than_its_screen() -> bytes:
    screen, frame = struct.pack("<HH", 28, 28), struct.pack("<HH", 65535, 65535)
    return (
        b"GIF89a" + screen + b"\x80\0\0" + bytes(6) + b"," + bytes(4) + frame + b"\0\2\2\x44\1\0;"
    )


@case("image/tiff", 413)
def tiff_of_the_largest_size() -> bytes:
    return grey_tiff(2**31 - 1, 2**31 - 1, 1)


@case("image/tiff", 413)
def tiff_of_4_gigapixels() -> bytes:
    return grey_tiff(65535, 65535, 1)


@case("image/bmp", 413, 422)
def bmp_of_the_largest_size() -> bytes:
    sizes = struct.pack("<IiiHHIIiiII", 40, 2**31 - 1, -(2**31), 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + sizes


@case("image/webp", 413)
def webp_of_268_megapixels() -> bytes:
    return webp_canvas(16383, 16383)


@case("image/webp", 413, 422)
def webp_of_4_gigapixels() -> bytes:
    return webp_canvas(65535, 65535)


@case("image/jpeg", 413)
def jpeg_of_4_gigapixels() -> bytes:
    small = saved(Image.new("L", (65500, 1), 3), "JPEG")
    return small.replace(struct.pack(">HH", 1, 65500), struct.pack(">HH", 65500, 65500))


# As many pixels as a request may have, in the formats that take most memory to decode.


@case("image/png", *PICTURE)
def png_of_16_megapixels_with_transparency() -> bytes:
    return png(*MEGAPIXELS_16, color=6, row=bytes([10, 20, 30, 128]) * 4000)


@case("image/png", *PICTURE)
def png_of_16_megapixels_of_64_bits() -> bytes:
    return png(*MEGAPIXELS_16, depth=16, color=6, row=bytes(8 * 4000))


@case("image/png", *PICTURE)
def png_of_16_megapixels_of_16_bits() -> bytes:
    return png(*MEGAPIXELS_16, depth=16, row=b"\x01\xc8" * 4000)


@case("image/webp", *PICTURE)
def webp_of_16_megapixels_with_transparency() -> bytes:
    return saved(Image.new("RGBA", MEGAPIXELS_16, (1, 2, 3, 100)), "WEBP", lossless=True, method=0)


@case("image/webp", *PICTURE)
def webp_frame_on_a_canvas_of_16_megapixels() -> bytes:
    return webp_canvas(*MEGAPIXELS_16)


@case("image/gif", *PICTURE)
def gif_of_16_megapixels_with_transparency() -> bytes:
    return saved(Image.new("P", MEGAPIXELS_16, 3), "GIF", transparency=3)


@case("image/tiff", *PICTURE)
def tiff_of_16_megapixels_of_floats() -> bytes:
    return saved(Image.new("F", MEGAPIXELS_16, 3), "TIFF", compression="tiff_adobe_deflate")


@case("application/json", 413, 422)  # empty canvases: the first is blank already
def batch_of_32_webp_files_of_16_megapixels() -> bytes:
    return base64_json(*[webp_canvas(*MEGAPIXELS_16)] * 32)


@case("application/json", 200)
def batch_of_two_images_of_16_megapixels() -> bytes:
    return base64_json(*[saved(digit(4000, "RGBA"), "PNG", compress_level=1)] * 2)


@case(FORM, 413)
def form_of_32_gif_files_of_16_megapixels() -> bytes:
    return form(*[("image", saved(digit(4000), "GIF"))] * 32)


# Unusual proportions.


@case("image/png", *PICTURE)
def png_of_1_by_100000() -> bytes:
    return png(1, 100_000, row=b"\x80")


@case("image/png", *PICTURE)
def png_of_100000_by_1() -> bytes:
    return png(100_000, 1, row=bytes(range(250)) * 400)


@case("image/png", *PICTURE)
def png_of_1_by_16_million() -> bytes:
    return png(1, 15_999_999, depth=1, row=b"\x80")


@case("image/png", *PICTURE)
def png_of_one_pixel() -> bytes:
    return png(1, 1, row=b"\x80")


@case("image/png", 422)
def png_without_pixels() -> bytes:
    return png(0, 0)


# Few pixels, and more work than they are worth.


@case("image/jpeg", 413)
def jpeg_of_130000_scans() -> bytes:
    whole = saved(Image.new("L", MEGAPIXELS_16, 128), "JPEG", progressive=True)
    scan = whole[whole.rindex(b"\xff\xda") : -2]
    return whole[:-2] + scan * ((MEBIBYTES_4 - len(whole)) // len(scan)) + b"\xff\xd9"


@case("image/jpeg", *PICTURE)
def jpeg_of_as_many_scans_as_are_accepted() -> bytes:
    whole = saved(
        Image.new("RGB", MEGAPIXELS_16, (1, 2, 3)), "JPEG", progressive=True, subsampling=0
    )
    scan = whole[whole.rindex(b"\xff\xda") : -2]
    return whole[:-2] + scan * (24 - whole.count(b"\xff\xda")) + b"\xff\xd9"


def in_front(filling: bytes, whole: bytes = b"", after: int = 2) -> bytes:
    """Fill a JPEG up to 4 MiB behind its first marker."""
    whole = whole or saved(digit(), "JPEG")
    count = (MEBIBYTES_4 - len(whole)) // len(filling)
    return whole[:after] + filling * count + whole[after:]


@case("image/jpeg", 413)
def jpeg_of_a_million_comments() -> bytes:
    return in_front(b"\xff\xfe\x00\x02")


@case("image/jpeg", 413)
def jpeg_of_padding() -> bytes:
    return in_front(b"\xff")


@case("image/jpeg", 413)
def jpeg_of_restart_markers() -> bytes:
    return in_front(b"\xff\xd0")


@case("image/png", 413)
def png_of_350000_chunks() -> bytes:
    return in_front(chunk(b"abCd", b""), png(28, 28, row=bytes(range(28))), 33)


@case("image/png", 413)
def png_of_350000_empty_pieces_of_data() -> bytes:
    whole = png(28, 28, row=bytes(range(28)))
    return in_front(chunk(b"IDAT", b""), whole, len(whole) - 12)


@case("image/png", *PICTURE)
def png_of_compressed_text() -> bytes:
    text = chunk(b"zTXt", b"key\x00\x00" + zlib.compress(bytes(1_000_000)))
    return in_front(text, png(28, 28, row=bytes(range(28))), 33)


@case("image/png", *PICTURE)
def png_with_metadata_that_overlaps_itself() -> bytes:
    exif = tiff([(1000 + i, 7, 3_500_000, 0) for i in range(1000)], bytes(3_500_000))
    whole = png(28, 28, row=bytes(range(28)))
    return whole[:33] + chunk(b"eXIf", exif) + whole[33:]


@case("image/tiff", 422)
def tiff_of_two_million_strips() -> bytes:
    return grey_tiff(8, 2_000_000, 2_000_000)


@case("image/tiff", *PICTURE)
def tiff_with_tags_that_overlap_each_other() -> bytes:
    tags = [(33000 + i, 7, 3_500_000, 0) for i in range(1000)]
    return grey_tiff(28, 28, 28, *tags) + bytes(3_500_000)


@case("image/tiff", *PICTURE)
def tiff_directory_of_65535_entries() -> bytes:
    return tiff([(i, 3, 1, 1) for i in range(65535)])


@case("image/gif", *PICTURE)
def gif_of_800000_comments() -> bytes:
    whole = saved(Image.new("P", (28, 28), 3), "GIF")
    return in_front(
        b"\x21\xfe\x01A\x00", whole, whole.index(b",", 13 + 768) if len(whole) > 800 else 13
    )


@case("image/gif", *PICTURE)
def gif_of_padding() -> bytes:
    head = b"GIF89a" + struct.pack("<HH", 28, 28) + b"\x00\x00\x00"
    return head + bytes(4_000_000)


@case("image/webp", *PICTURE)
def webp_of_500000_chunks() -> bytes:
    picture = saved(digit(16, "RGBA"), "WEBP", lossless=True)[12:]
    canvas = b"VP8X\x0a\x00\x00\x00\x10\x00\x00\x00\x0f\x00\x00\x0f\x00\x00"
    content = b"WEBP" + canvas + b"abcd\x00\x00\x00\x00" * 500_000 + picture
    return b"RIFF" + struct.pack("<I", len(content)) + content


@case("image/tiff", *PICTURE)
def tiff_of_floats_that_hardly_differ() -> bytes:
    """Brightnesses one step of float32 apart, between which a histogram finds no room."""
    image = Image.new("F", (60, 60))
    dice = random.Random(0)
    for position in range(400):
        image.putpixel((20 + position % 20, 20 + position // 20), 200 + dice.choice([0, 2e-5]))
    return saved(image, "TIFF")


# Nothing, something else, and two things at once.


@case("image/png", 422)
def nothing() -> bytes:
    return b""


@case(None, 422)
def nothing_without_a_type() -> bytes:
    return b""


@case("application/json", 422)
def nothing_in_json() -> bytes:
    return b'{"image": ""}'


@case(FORM, 422)
def nothing_in_a_form() -> bytes:
    return form(("image", b""))


@case("image/png", 413)
def four_mebibytes_and_one() -> bytes:
    return bytes(MEBIBYTES_4 + 1)


@case("image/png", 422)
def four_mebibytes_of_nothing() -> bytes:
    return bytes(MEBIBYTES_4)


@case("image/png", 200)
def png_that_is_a_zip_too() -> bytes:
    import zipfile

    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("evil.sh", "rm -rf /")
    return saved(digit(), "PNG") + file.getvalue()


@case("image/jpeg", 200)
def jpeg_that_is_a_page_too() -> bytes:
    script = b"<html><script>alert(1)</script></html>"
    return saved(digit(), "JPEG", comment=script) + script


@case("image/gif", *PICTURE)
def gif_that_is_a_script_too() -> bytes:
    return saved(digit(), "GIF") + b"=1;alert(1);"


@case("image/png", 200)
def jpeg_that_is_labelled_png() -> bytes:
    return saved(digit(), "JPEG")


@case("text/html", 200)
def png_that_is_labelled_html() -> bytes:
    return saved(digit(), "PNG")


@case("application/x-www-form-urlencoded", 200)
def png_that_is_labelled_a_form() -> bytes:
    return saved(digit(), "PNG")


@case("image/svg+xml", 415)
def svg() -> bytes:
    return b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


@case("image/png", 415)
def svg_that_is_labelled_png() -> bytes:
    return b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'


@case(None, 415, 422)
def xml_that_names_itself() -> bytes:
    lines = [f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 12)]
    return f'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a0 "ha">{"".join(lines)}]><a/>'.encode()


@case("application/json", 200)
def png_that_is_labelled_json() -> bytes:
    return saved(digit(), "PNG")


@case("image/\xe9\xff", 200)
def a_content_type_of_odd_characters() -> bytes:
    return saved(digit(), "PNG")


@case("application/json" + ";" * 8000, 400)
def a_long_content_type() -> bytes:
    return b"{"


# Forms.


@case(FORM, 413)
def form_of_10000_fields() -> bytes:
    return form(*[("image", b"")] * 10_000)


@case(FORM, 413)
def form_of_10000_other_fields() -> bytes:
    return form(*[(f"field{i}", b"1") for i in range(10_000)])


@case(FORM, 413)
def form_of_33_images() -> bytes:
    return form(*[("image", saved(digit(), "PNG"))] * 33)


@case("multipart/form-data", 200)
def form_without_a_boundary() -> bytes:
    return form(("image", saved(digit(), "PNG")))


@case("multipart/form-data; boundary=y", 200)
def form_of_another_boundary() -> bytes:
    return form(("image", saved(digit(), "PNG")))


@case(FORM, 400)
def form_without_an_end() -> bytes:
    return form(("image", saved(digit(), "PNG")))[:-7]


@case(FORM, 422)  # read all the same, but not an image
def form_of_bare_line_feeds() -> bytes:
    return form(("image", b"7")).replace(b"\r\n", b"\n")


@case(FORM, 400)
def form_of_nothing_but_boundaries() -> bytes:
    return b"--x\r\n" * 50 + b"--x--"


@case(FORM, 400)
def form_of_800000_boundaries() -> bytes:
    return b"--x\r\n" * 800_000


@case(FORM, 413)
def form_of_a_header_of_4_megabytes() -> bytes:
    return b'--x\r\nContent-Disposition: form-data; a="' + b"; " * 2_000_000 + b"\r\n\r\n7\r\n--x--"


@case(FORM, 413)
def form_of_many_headers() -> bytes:
    return b"--x\r\n" + b"Content-Disposition: form-data;\r\n" * 120_000 + b"\r\n7\r\n--x--"


@case("multipart/form-data; boundary=" + "b" * 5000, 422)
def form_of_a_long_boundary() -> bytes:
    return form(("image", b"7"))


# JSON.


def in_json(value: str) -> bytes:
    """Body with its image verbatim."""
    return f'{{"image": {value}}}'.encode("utf-8", "surrogatepass")


for _name, _body in {
    "deep_list": b"[" * 100_000,
    "deep_object": b'{"image":' * 100_000,
    "deep_and_closed": b'{"image":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "number_that_overflows": in_json("1e999"),
    "number_of_100000_digits": in_json("9" * 100_000),
    "exponent_of_100000_digits": in_json("1e" + "9" * 100_000),
    "not_a_number": in_json("NaN"),
    "infinity": in_json("-Infinity"),
    "lone_surrogate": in_json('"\\ud800"'),
    "lone_surrogate_as_bytes": in_json('"\ud800"'),
    "byte_order_mark": b"\xef\xbb\xbf" + in_json('""'),
    "null_bytes": b"\x00" * 1000,
    "half_a_character": b'{"image": "\xc3',
    "url_safe_base64": in_json('"_-_-"'),
    "too_little_padding": in_json('"iVBORw0"'),
    "too_much_padding": in_json('"iVBORw0KGgo====="'),
    "padding_alone": in_json('"===="'),
    "padding_inside": in_json('"iVBO=Rw0"'),
    "base64_of_one_character": in_json('"A"'),
    "base64_with_junk": in_json('"iVBO*Rw0"'),
    "four_megabytes_of_no_base64": in_json('"' + "%" * 4_000_000 + '"'),
    "four_megabytes_of_another_alphabet": in_json('"' + "é" * 2_000_000 + '"'),
    "four_megabytes_of_spaces": in_json('"' + " " * 4_000_000 + '"'),
    "data_url_without_data": in_json('"data:"'),
    "data_url_without_base64": in_json('"data:image/png,%89PNG"'),
    "data_url_of_text": in_json('"data:text/html;base64,PHNjcmlwdD4="'),
    "data_url_of_a_script": in_json('"data:application/javascript;base64,YWxlcnQoMSk="'),
    "data_url_of_svg": in_json('"data:image/svg+xml;base64,PHN2Zz48L3N2Zz4="'),
    "data_url_of_a_long_type": in_json('"data:' + "é" * 2_000_000 + ';base64,"'),
    "data_url_of_a_million_parameters": in_json('"data:image/png' + ";a=b" * 1_000_000 + ',"'),
    "data_url_that_never_comes_to_its_comma": in_json('"data:' + ";" * 4_000_000 + '"'),
    "address_of_a_file": in_json('"file:///etc/passwd"'),
    "address_inside_the_cloud": in_json('"http://169.254.169.254/latest/meta-data/"'),
    "both_members": b'{"image": "", "images": []}',
    "a_million_images": b'{"images": [' + b'"",' * 1_000_000 + b'""]}',
    "images_of_every_type": b'{"images": [null, 1, true, {}, []]}',
    "prototype": b'{"__proto__": {"image": ""}}',
    "comment": b'{"image": "" /* no */}',
    "single_quotes": b"{'image': ''}",
}.items():
    CASES[f"json_{_name}"] = lambda body=_body: Request(  # type: ignore[misc]
        body, "application/json", REFUSED
    )


# Tensors.

BLANK = ", ".join(["0"] * 783)
for _name, _body in {
    "nan": tensor(f"[{BLANK}, NaN]"),
    "infinity": tensor(f"[{BLANK}, Infinity]"),
    "number_that_overflows": tensor(f"[{BLANK}, 1e999]"),
    "integer_of_4000_digits": tensor(f"[{BLANK}, {'9' * 4000}]"),
    "integer_of_100000_digits": tensor(f"[{BLANK}, {'9' * 100_000}]"),
    "negative": tensor(f"[{BLANK}, -1]"),
    "text": tensor(f'[{BLANK}, "0"]'),
    "ragged": tensor(f"[[{BLANK}], 0]"),
    "deep_data": tensor("[" * 100_000),
    "deep_and_closed_data": tensor("[" * 900 + "]" * 900),
    "two_million_zeros": tensor(f"[{'0,' * 1_999_999}0]"),
    "a_million_empty_lists": tensor(f"[{'[],' * 1_300_000}[]]"),
    "shape_of_a_million_sides": tensor("[0]", f"[{'1,' * 1_999_999}1]"),
    "shape_of_huge_sides": tensor("[0]", f"[{'9' * 4000}, 28, 28]"),
    "shape_of_zero": tensor("[]", "[0, 28, 28]"),
    "shape_that_is_negative": tensor("[]", "[-1, 28, 28]"),
    "shape_of_fractions": tensor("[]", "[1e308, 28, 28]"),
    "no_json": b"\x00\xff",
    "nothing": b"",
    "name_of_4_megabytes": b'{"inputs": [{"name": "' + b"\xc3\xa9" * 2_000_000 + b'"}]}',
    "id_of_4_megabytes": tensor(f"[{BLANK}, 0]")[:-1] + b', "id": "' + b"a" * 4_000_000 + b'"}',
}.items():
    CASES[f"tensor_{_name}"] = lambda body=_body: Request(  # type: ignore[misc]
        body, "application/json", REFUSED, INFER
    )


if __name__ == "__main__":
    main()
