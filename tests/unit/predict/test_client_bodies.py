"""The ways in which clients send an image: each is read, or refused by the name of its mistake."""

import base64
import gzip
import json
from binascii import b2a_qp
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

from classifier.errors import PredictError
from classifier.http.event import Request
from classifier.http.payload import read
from classifier.image import formats
from tests.support.hostile_files import digit, saved

FILE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) + b"\xfb"  # its base64 holds "+", "/" and "=="
TEXT = base64.b64encode(FILE).decode()
URL_SAFE = base64.urlsafe_b64encode(FILE).decode()
LINES = base64.encodebytes(FILE).decode()
BEGIN, END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
DATA_URL = f"data:image/png;base64,{TEXT}"
JPEG_XL = b"\0\0\0\x0cJXL \r\n\x87\n"

FORM = "multipart/form-data; boundary=x"
URLENCODED = "application/x-www-form-urlencoded"
JSON = "application/json"


class Way(NamedTuple):
    """One way to send an image, or something else.

    status: 200 if it is read, as FILE, number times. fact: part of the error's detail.
    """

    name: str
    content_type: str | None
    body: bytes
    status: int = 200
    fact: str = ""
    number: int = 1


def document(value: Any) -> bytes:
    return json.dumps({"image": value}).encode()


def part(content: bytes | str, name: str = "image", *headers: str, filename: str = "") -> bytes:
    content = content.encode() if isinstance(content, str) else content
    disposition = f'Content-Disposition: form-data; name="{name}"{filename}'
    head = "\r\n".join([disposition, *headers])
    return f"--x\r\n{head}\r\n\r\n".encode() + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--x--\r\n"


def in_json(name: str, text: Any, status: int = 200, fact: str = "") -> Way:
    return Way(f"JSON: {name}", JSON, document(text), status, fact)


def in_form(name: str, *parts: bytes, status: int = 200, fact: str = "", number: int = 1) -> Way:
    return Way(f"form: {name}", FORM, form(*parts), status, fact, number)


BASE64 = [
    in_json("standard base64", TEXT),
    in_json("URL-safe alphabet", URL_SAFE),
    in_json("no padding", TEXT.rstrip("=")),
    in_json("URL-safe without padding", URL_SAFE.rstrip("=")),
    in_json("too much padding", TEXT + "=="),
    in_json("spaces where + was", TEXT.replace("+", " ")),
    in_json("spaces where + was, no padding", TEXT.replace("+", " ").rstrip("=")),
    in_json("lines", LINES),
    in_json("lines that became spaces", LINES.strip().replace("\n", " ")),
    in_json("CRLF lines", LINES.replace("\n", "\r\n")),
    in_json("\\n written out", LINES.replace("\n", "\\n")),
    in_json("\\r\\n written out", LINES.replace("\n", "\\r\\n")),
    in_json("\\/ written out", TEXT.replace("/", "\\/")),
    in_json("percent-encoded", quote(TEXT, safe="")),
    in_json("in double quotes", f'"{TEXT}"'),
    in_json("in single quotes", f"'{TEXT}'"),
    in_json("white space around", f"\n  {TEXT}\t\n"),
    in_json("a binary string", FILE.decode("latin-1")),
    in_json("data URL", DATA_URL),
    in_json("data URL without a type", f"data:;base64,{TEXT}"),
    in_json("data URL of base64 alone", f"data:base64,{TEXT}"),
    in_json("data URL with charset", f"data:image/png;charset=utf-8;base64,{TEXT}"),
    in_json("data URL with a name", f"data:image/png;name=my%20seven.png;base64,{TEXT}"),
    in_json("data URL in capitals", f"DATA:IMAGE/PNG;BASE64,{TEXT}"),
    in_json("data URL of image/jpg", f"data:image/jpg;base64,{TEXT}"),
    in_json("data URL of another type", f"data:text/plain;base64,{TEXT}"),
    in_json("data URL, percent-encoded", quote(DATA_URL, safe="")),
    in_json("data URL with URL-safe data", f"data:image/png;base64,{URL_SAFE}"),
    in_json("data URL with spaces", DATA_URL.replace("+", " ")),
    in_json("a data URL's second half", f"image/png;base64,{TEXT}"),
    in_json("a data URL's last part", f"base64,{TEXT}"),
]
JSON_TYPES = [
    *(
        Way(f"JSON as {kind}", kind, document(TEXT))
        for kind in [
            "application/vnd.api+json",
            "application/ld+json; charset=utf-8",
            "text/json",
            "application/x-json",
            "text/plain",
            "text/plain;charset=UTF-8",
            "application/octet-stream",
            "image/png",
            URLENCODED,
            None,
        ]
    ),
    Way("JSON behind a BOM", JSON, b"\xef\xbb\xbf" + document(TEXT)),
    Way("JSON behind a BOM, no type", None, b"\xef\xbb\xbf" + document(TEXT)),
    Way("JSON in UTF-16", JSON, document(TEXT).decode().encode("utf-16")),
    Way("a batch without a type", None, json.dumps({"images": [TEXT] * 2}).encode(), number=2),
    Way("the file as JSON", JSON, FILE),
    Way("a JSON string", JSON, json.dumps(TEXT).encode()),
    Way("a JSON string of a data URL", JSON, json.dumps(DATA_URL).encode()),
    Way("base64 as JSON", JSON, TEXT.encode()),
]
SHAPES = [
    *(
        Way(f"JSON: {name}", JSON, json.dumps(value).encode())
        for name, value in {
            "bytes as numbers": {"image": [*FILE]},
            "signed bytes": {"image": [byte - 256 * (byte > 127) for byte in FILE]},
            "a Buffer": {"image": {"type": "Buffer", "data": [*FILE]}},
            "a Uint8Array": {"image": {str(at): byte for at, byte in enumerate(FILE)}},
            "a Power Automate object": {"image": {"$content-type": "image/png", "$content": TEXT}},
            "a Power Automate object alone": {"$content-type": "image/png", "$content": TEXT},
            "a name of the client's": {"photo": DATA_URL, "id": 7},
            "a name in capitals": {"Image": {"Bytes": TEXT}},
            "a request of another API": {"requests": [{"image": {"content": TEXT}}]},
            "a list": [TEXT],
            "numbers alone": [*FILE],
            "one for images": {"images": TEXT},
            "an object for images": {"images": {"0": TEXT}},
        }.items()
    ),
    Way(
        "JSON: objects in a batch",
        JSON,
        json.dumps({"images": [{"b": TEXT}, TEXT]}).encode(),
        number=2,
    ),
    Way("JSON: numbers without a type", None, json.dumps([*FILE]).encode()),
    Way("JSON: line ends in the text", JSON, f'{{"image": "{LINES}"}}'.encode()),
    Way("JSON in UTF-16 without a type", None, document(TEXT).decode().encode("utf-16")),
    Way("JSON in UTF-16, big-endian", None, document(TEXT).decode().encode("utf-16-be")),
]
TEXT_BODIES = [
    Way("base64 of certutil", "text/plain", f"{BEGIN}\r\n{LINES}{END}\r\n".encode()),
    Way("base64 as text/plain", "text/plain", TEXT.encode()),
    Way("base64 without a type", None, TEXT.encode()),
    Way("base64 as image/png", "image/png", LINES.encode()),
    Way("base64 in quotes", "text/plain", f'"{TEXT}"'.encode()),
    Way("base64 of PowerShell", "text/plain", TEXT.encode("utf-16")),
    Way("base64 behind a BOM", None, b"\xef\xbb\xbf" + TEXT.encode()),
    Way("data URL as text/plain", "text/plain", DATA_URL.encode()),
    Way("data URL without a type", None, DATA_URL.encode()),
    Way("the file, read as Latin-1", "image/png", FILE.decode("latin-1").encode()),
]
FORMS = [
    *(
        in_form(f"field {name}", part(FILE, name, filename='; filename="7.png"'))
        for name in ["image", "images", "file", "files", "image[]", "images[]", "images[0]"]
    ),
    in_form("fields image[]", part(FILE, "image[]"), part(FILE, "image[]"), number=2),
    in_form("image beside file", part("a note", "file"), part(FILE)),
    in_form("data URL as text", part(DATA_URL)),
    in_form("base64 as text", part(TEXT)),
    in_form("base64 in lines", part(LINES)),
    in_form("base64 twice", part(TEXT), part(URL_SAFE), number=2),
    in_form(
        "transfer encoding",
        part(LINES, "image", "Content-Transfer-Encoding: base64", filename='; filename="7.png"'),
    ),
    in_form(
        "quoted-printable transfer",
        part(b2a_qp(FILE, istext=False), "image", "Content-Transfer-Encoding: Quoted-Printable"),
    ),
    in_form("binary transfer", part(FILE, "image", "Content-Transfer-Encoding: binary")),
    Way("form: bare LF", FORM, form(part("é\n", "note"), part(TEXT)).replace(b"\r\n", b"\n")),
    Way(
        "form: bare LF around the file",
        FORM,
        b'--x\nContent-Disposition: form-data; name="image"\n\n' + FILE + b"\n--x--\n",
    ),
    *(
        Way(f"form as {kind}", kind, form(part("a note", "note"), part(FILE)))
        for kind in [
            "multipart/form-data",
            "multipart/form-data; boundary=y",
            JSON,
            "image/png",
            None,
        ]
    ),
    in_form("a field of the client's", part("a note", "note"), part(FILE, "photo")),
    in_form("another field in base64", part(DATA_URL, "data")),
    in_form("another field in JSON", part(document(TEXT), "payload")),
    in_form("the field in JSON", part(document(DATA_URL))),
    in_form("an empty field of no file", part("", "image"), part(FILE, "file")),
    Way("form: JSON in a field", URLENCODED, b"payload=" + quote(document(TEXT)).encode()),
    Way("JSON as a form without boundary", "multipart/form-data", document(TEXT)),
    Way("urlencoded, another field with base64", URLENCODED, f"data={quote(TEXT)}".encode()),
    Way("the file as a form", FORM, FILE),
    Way("urlencoded", URLENCODED, f"image={quote(TEXT, safe='')}".encode()),
    Way("urlencoded, + unescaped", URLENCODED, f"image={TEXT}".encode()),
    Way("urlencoded data URL", URLENCODED, f"a=1&image={quote(DATA_URL)}&b=2".encode()),
    Way("urlencoded data URL, raw", URLENCODED, f"image={DATA_URL}".encode()),
    Way("urlencoded bytes", URLENCODED, b"image=" + quote(FILE).encode()),
    Way("urlencoded batch", URLENCODED, f"image[]={TEXT}&image%5B%5D={TEXT}".encode(), number=2),
    Way("urlencoded without a type", None, f"image={TEXT}".encode()),
    Way("base64 as urlencoded", URLENCODED, TEXT.encode()),
]
MISTAKES = [
    in_json("encoded twice", base64.b64encode(TEXT.encode()).decode(), 400, "encoded twice"),
    in_json("data URL encoded", base64.b64encode(DATA_URL.encode()).decode(), 400, "twice"),
    in_json("base64 of JSON", base64.b64encode(document(TEXT)).decode(), 400, "JSON document"),
    in_json("hexadecimal", FILE.hex(), 400, "hexadecimal"),
    in_json(
        "hexadecimal in base64", base64.b64encode(FILE.hex().encode()).decode(), 400, "hexadecimal"
    ),
    in_json("a data URL in another", f"data:image/png;base64,{DATA_URL}", 400, "inside a data URL"),
    in_json("data URL without base64", f"data:image/png,{TEXT}", 400, ';base64,"'),
    in_json("cut off", TEXT.rstrip("=")[:-1], 400, "its end is missing"),
    in_json("two pieces", TEXT + TEXT, 400, "padding before its end"),
    in_json("a strange character", TEXT[:9] + "#" + TEXT[9:], 400, "'#' at 9"),
    in_json("empty", "", 422, "empty"),
    in_json("undefined", "undefined", 400, "'undefined'"),
    in_json("null as text", "null", 400, "'null'"),
    in_json("None as text", "None", 400, "'None'"),
    in_json("NaN as text", "NaN", 400, "'NaN'"),
    in_json("NaN", float("nan"), 400, "NaN"),
    in_json("null", None, 400, "null"),
    in_json("[object File]", "[object File]", 400, "[object File]"),
    in_json("[object Object]", "[object Object]", 400, "[object Object]"),
    in_json("a File", {}, 400, "JSON.stringify"),
    in_json("a Buffer of no image", {"type": "Buffer", "data": [7]}, 400, "buffer.toString"),
    in_json("PowerShell's name of bytes", "System.Byte[]", 400, "name of an object"),
    in_json("Java's name of bytes", "[B@1b6d3586", 400, "name of an object"),
    in_json("Ruby's name of a file", "#<File:0x00007f>", 400, "name of an object"),
    in_json("hexadecimal of PostgreSQL", "\\x" + FILE.hex(), 400, "hexadecimal"),
    in_json("hexadecimal with colons", FILE.hex(":"), 400, "hexadecimal"),
    in_json("pixels", [[0, 255], [255, 0]], 400, "list of numbers"),
    in_json("numbers as text", "137,80,78,71", 400, "list of numbers"),
    in_json("repr of base64", str(TEXT.encode()), 400, "Python bytes repr"),
    in_json("repr of bytes", str(FILE), 400, "Python bytes repr"),
    in_json("repr of a PIL image", "<PIL.Image.Image size=28x28 at 0x7f>", 400, "object's repr"),
    in_json("repr of a file", "<_io.BufferedReader name='7.png'>", 400, "object's repr"),
    in_json("file name", "seven.png", 400, "file name or path"),
    in_json("curl's @", "@seven.jpg", 400, "file name or path"),
    in_json("browser's path", "C:\\fakepath\\seven.JPG", 400, "file name or path"),
    in_json("path", "/home/me/my seven.png", 400, "file name or path"),
    in_json("https URL", "https://example.com/7.png", 400, "http(s) URL"),
    in_json("http URL", "http://example.com/seven", 400, "http(s) URL"),
    in_json("blob URL", "blob:https://example.com/1-2", 400, "does not fetch"),
    in_json("s3 URL", "s3://bucket/7.png", 400, "does not fetch"),
    in_json("placeholder", "{{image}}", 400, "placeholder"),
    in_json("shell's placeholder", "$(base64 7.png)", 400, "placeholder"),
    in_json("documentation's placeholder", "<base64>", 400, "placeholder"),
    in_json("an <img>", '<img src="7.png">', 400, "markup"),
    in_json("damaged bytes", FILE.decode(errors="replace"), 400, "damaged"),
    Way("JSON: twice", JSON, json.dumps(document(TEXT).decode()).encode(), 400, "encoded twice"),
    Way("JSON: another name", JSON, b'{"picture": "Zm9v"}', 400, "picture"),
    Way("JSON: no image", JSON, b'["c2V2ZW4="]', 400, "got a list"),
    Way("JSON: no images", JSON, b'{"images": []}', 400, "got an empty list"),
    Way("JSON: two of another name", JSON, json.dumps([TEXT] * 2).encode(), 400, 'as "images"'),
    Way("JSON: URL of another name", JSON, b'{"event": {"url": "https://-"}}', 400, "http(s) URL"),
    Way("JSON: cmd's quotes", JSON, b"'" + document(TEXT) + b"'", 400, "in single quotes"),
    Way("JSON: no list for images", JSON, b'{"images": "c2V2ZW4="}', 400, "a string"),
    Way("JSON: gzip", JSON, gzip.compress(document(TEXT)), 415, "gzip"),
    Way("JSON: pixels for images", JSON, b'{"images": [[0, 255]]}', 400, "list of numbers"),
    Way("JSON: null in a batch", JSON, b'{"images": [null]}', 400, "images[0]"),
    Way("JSON: single quotes", JSON, b"{'image': 'Zm9v'}", 400, "single quotes"),
    Way("JSON: form fields", JSON, f"image={TEXT}".encode(), 400, "form fields"),
    Way("no JSON", JSON, b"", 400, "the body is empty"),
    Way("JSON: white space", JSON, b" \n", 400, "the body is empty"),
    Way("JSON: object as body", JSON, b"[object Object]", 400, "[object Object]"),
    Way("form: empty", FORM, b"", 400, "the body is empty"),
    Way("form: no boundary at all", "multipart/form-data", b"seven", 400, "boundary parameter"),
    in_form("another field", part("seven", "photo"), status=400, fact="'photo'"),
    in_form("two other fields", part(FILE, "a"), part(FILE, "b"), status=400, fact="'a', 'b'"),
    in_form("a path", part("C:\\fakepath\\7.png"), status=400, fact="file name or path"),
    in_form("[object File]", part("[object File]"), status=400, fact="[object File]"),
    in_form("undefined", part("undefined"), status=400, fact="'undefined'"),
    in_form("twice", part(FILE), part("undefined"), status=400, fact="images[1]"),
    in_form(
        "a wrong transfer encoding",
        part(FILE, "image", "Content-Transfer-Encoding: base64").replace(b"\x89", b"!"),
        status=400,
        fact="not valid base64",
    ),
    Way("urlencoded path", URLENCODED, b"image=@seven.png", 400, "file name or path"),
    Way("urlencoded, another field", URLENCODED, b"photo=Zm9v", 400, "'photo'"),
    Way("urlencoded, empty", URLENCODED, b"", 400, "the body is empty"),
    Way("urlencoded, 101 fields", URLENCODED, b"image=" + b"&a=1" * 101, 413, "100 fields"),
    Way("curl -d @file", URLENCODED, FILE.replace(b"\r\n", b""), 422, "--data-binary"),
    Way("form in base64", FORM, base64.b64encode(form(part(FILE))), 400, "the form is in base64"),
    in_form("URL of another name", part("https://-", "MediaUrl0"), status=400, fact="http(s) URL"),
    Way("bytearray's repr", "text/plain", repr(bytearray(FILE)).encode(), 400, "bytes repr"),
    Way("Buffer's name", "text/plain", b"<Buffer 89 50 4e>", 400, "name of an object"),
    Way("numbers", "text/plain", b"137 80 78 71 13 10 26 10 0", 400, "list of numbers"),
    Way("ASCII85", "text/plain", base64.a85encode(FILE), 415, "neither an image file nor"),
    Way("line ends changed", "image/png", FILE.replace(b"\r\n", b"\n"), 422, "line ends"),
    Way("bytes damaged", "image/png", FILE.decode(errors="replace").encode(), 422, "damaged"),
    Way("empty file", "image/png", b"", 422, "the body is empty"),
    Way("empty text", "text/plain", b"", 422, "the body is empty"),
    Way("URL as text", "text/plain", b"https://example.com/7.png", 400, "http(s) URL"),
    Way("URL as a file", "image/png", b"https://example.com/7.png", 422, "http(s) URL"),
    Way("path without a type", None, b"seven.png", 422, "file name or path"),
    Way("object as a file", None, b"[object File]", 422, "[object File]"),
    Way("a response in the body", "image/png", b"HTTP/1.1 200 OK\r\n\r\n" + FILE, 422, "byte 19"),
    Way("chunks in the body", None, b"10d\r\n" + FILE + b"\r\n0\r\n\r\n", 422, "byte 5"),
    Way("base64 twice", "text/plain", base64.b64encode(TEXT.encode()), 400, "encoded twice"),
    Way("base64 of JPEG XL", "text/plain", base64.b64encode(JPEG_XL), 415, "JPEG XL"),
    Way("text", "text/plain", b"a seven", 415, "text/plain"),
]
WAYS = [*BASE64, *JSON_TYPES, *SHAPES, *TEXT_BODIES, *FORMS, *MISTAKES]


def images(way: Way) -> list[bytes]:
    headers = {} if way.content_type is None else {"content-type": way.content_type}
    files = read(Request("POST", "/predict", {}, headers, way.body, "-")).images
    for file in files:
        formats.require(file)
    return files


def rows(*ways: Way) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("way", [pytest.param(way, id=way.name) for way in ways])


@rows(*(way for way in WAYS if way.status == HTTPStatus.OK))
def test_an_unambiguous_way_to_send_an_image_is_read(way: Way) -> None:
    assert images(way) == [FILE] * way.number


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
def test_base64_of_a_file_that_starts_as_a_video_does_is_read(kind: str) -> None:
    file = saved(digit(64), kind)
    assert images(Way(kind, "text/plain", base64.b64encode(file))) == [file]


@rows(*(way for way in WAYS if way.status != HTTPStatus.OK))
def test_another_way_is_refused_by_its_very_mistake(way: Way) -> None:
    with pytest.raises(PredictError) as refused:
        images(way)
    assert way.fact
    assert way.fact in refused.value.detail
    assert refused.value.status == way.status
    assert len(refused.value.detail) < 1000


def test_every_way_is_another_one() -> None:
    """A row that repeats another one would prove nothing."""
    assert len({way.name for way in WAYS}) == len(WAYS)
    assert len({(way.content_type, way.body) for way in WAYS}) == len(WAYS)
