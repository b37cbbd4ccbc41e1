"""What clients send instead of a file's bytes, recognised by how it begins.

Imported when a text turns out not to hold an image, so that the error names the very mistake.
"""

import re
from reprlib import repr as short  # don't echo megabytes back

_LONGEST_PATH = 1024  # characters
_SUFFIX = r"\.(?:png|jpe?g|gif|bmp|dib|webp|tiff?|heic|heif|avif|jxl|jp2|svg|ico|psd|pdf)"

# Matched at the start of a text, in this order. {text} is the text, shortened.
_TEXTS = (
    (
        r"(?:undefined|null|none|nil|nan)\Z",
        "the text {text} was sent: the client's variable held no image",
    ),
    (
        r"\[object \w+\]",
        "the text {text} was sent, JavaScript's name of an object; send what the file holds",
    ),
    (
        r"(?:bytearray\()?b['\"]|\\x[0-9a-f]{2}\\x",
        "a Python bytes repr, b'...', was sent; send base64.b64encode(data).decode()",
    ),
    (
        r"<_io\.|<PIL\.|<[\w.]+ (?:object|image|at)\b",
        "a Python object's repr, {text}, was sent; send the base64 of the file's bytes",
    ),
    (
        (
            r"(?:System|javax?|android)\.[\w.]+|\[[BCI]@|#<|<Buffer |Resource id #"
            r"|[\w.$]+@[0-9a-f]{4,8}\Z"
        ),
        "the name of an object was sent, {text}; send the base64 of what it holds",
    ),
    (
        r"\{\{|\{\w+\}\Z|\$[({\w]|<\w+>\Z",
        "the placeholder {text} was sent; put the image's base64 in its place",
    ),
    (r"<", "markup was sent, {text}; send the base64 of the file's bytes"),
    (
        r"https?(?::|%3a)",
        "an http(s) URL was sent, {text}; the service does not fetch it: send the file's bytes",
    ),
    (
        r"(?:blob|file|ftp|content|s3|gs|cid):",
        "a URL was sent, {text}; the service does not fetch it: send the file's bytes",
    ),
    (
        r"\[?\s*-?\d+(?:\.\d+)?\s*,|(?:\d{1,3}\s+){8}",
        "a list of numbers was sent; send the base64 of the image file's bytes",
    ),
    (
        r"\ufffd+(?:PNG|.{0,4}(?:JFIF|Exif))",
        "the file's bytes were read as text, which damaged them; send the bytes or their base64",
    ),
)
_PATTERNS = tuple((re.compile(start, re.IGNORECASE | re.DOTALL), words) for start, words in _TEXTS)
_URL = re.compile(r"(?:https?|blob|file|ftp|content|s3|gs):", re.IGNORECASE)
_PATH = re.compile(rf"[^\0\r\n]*{_SUFFIX}", re.IGNORECASE)
_DAMAGED_PNG = re.compile(rb"(?:\x89|\xef\xbf\xbd|\xc2\x89|\?)PNG[\r\n\x1a]")
_HEX = re.compile(r"(?:0x|\\x)?((?:[0-9a-f]{2}[ :]?){8,16})", re.IGNORECASE)
_IMAGE_WITHIN = re.compile(rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff[\xc0-\xfe]|GIF8[79]a")
_FAR = 4096  # bytes


def name_of_text(text: str) -> str | None:
    """Return the mistake that a text shows, as a sentence, or None if it shows none."""
    start = text[:_LONGEST_PATH]
    for pattern, words in _PATTERNS:
        if pattern.match(start):
            return words.format(text=short(text))
    if len(text) <= _LONGEST_PATH and _PATH.fullmatch(text):
        return f"a file name or path was sent, {short(text)}, not the file's bytes"
    return None


def name_of_url(text: str) -> str | None:
    """Return the mistake of a text that is a URL, as a sentence, or None if it is another text."""
    return name_of_text(text) if _URL.match(text) else None


def name_of_bytes(data: bytes) -> str | None:
    """Return the mistake that bytes show which are neither text nor an image, or None."""
    if _DAMAGED_PNG.match(data):
        return (
            "a PNG file was sent as text, which changed its line ends; send its bytes as they are, "
            "with curl by --data-binary instead of -d"
        )
    if within := _IMAGE_WITHIN.search(data[:_FAR]):
        return (
            f"the image begins at byte {within.start()} of the body, behind "
            f"{short(data[: within.start()])}; send the file's bytes alone"
        )
    return None


def hexadecimal(text: str) -> bytes | None:
    """Return the first bytes of a text of hexadecimal digits, or None if it is another text."""
    digits = _HEX.match(text)
    return bytes.fromhex(digits[1].replace(":", " ")) if digits else None
