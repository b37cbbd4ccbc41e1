"""Formats that are not supported, by their files' first bytes, for the error to name them.

Imported when bytes are no image of a supported format.
"""

import re

_NAMES = {
    "HEVC sequence": rb"....ftyphev",
    "audio": rb"....ftypM4[AB]|ID3|\xff[\xf1-\xf3\xf9-\xfb]|OggS|fLaC|MThd|#!AMR",
    "camera raw": rb"....ftypcrx |II\x1a\0\0\0HEAPCCDR|II[RU][OS\0]|FUJIFILMCCD-RAW|\0MRM|FOVb",
    "video": rb"....(ftyp.{4}|moov|mdat|wide)|\x1a\x45\xdf\xa3|RIFF....AVI |\0\0\x01[\xba\xb3]"
    rb"|FLV\x01|\x30\x26\xb2\x75",
    "JPEG 2000": rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51",
    "JPEG XL": rb"\0\0\0\x0cJXL |\xff\x0a",
    "JPEG XR": rb"II\xbc",
    "Photoshop": rb"8BPS",
    "GIMP": rb"gimp xcf",
    "TGA": rb".[\0\x01](?:[\x02\x03\x0a\x0b].{5}|[\x01\x09]\0\0..[\x0f\x10\x18\x20])"
    rb".{8}[\x01\x08\x0f\x10\x18\x20]",
    "ICO": rb"\0\0[\x01\x02]\0[^\0]\0",
    "ICNS": rb"icns",
    "PPM": rb"P[1-7fF]\s",
    "PCX": rb"\x0a[\0\x02-\x05]\x01[\x01\x02\x04\x08]",
    "BMP without its file header": rb"[\x28\x6c\x7c]\0\0\0.{8}\x01\0[\x01\x04\x08\x10\x18\x20]\0",
    "BLP": rb"BLP[12]",
    "IFUNC": rb"Image type: ",
    "MSP": rb"DanM|LinS",
    "SGI": rb"\x01\xda[\0\x01][\x01\x02]",
    "QOI": rb"qoif",
    "DDS": rb"DDS ",
    "KTX": rb"\xabKTX ",
    "OpenEXR": rb"\x76\x2f\x31\x01",
    "Radiance HDR": rb"#\?R(?:ADIANCE|GBE)",
    "FLIF": rb"FLIF",
    "BPG": rb"BPG\xfb",
    "DjVu": rb"AT&TFORM",
    "MNG": rb"[\x8a\x8b][MJ]NG\r\n",
    "ILBM": rb"FORM....(?:ILBM|PBM )",
    "DPX": rb"SDPX|XPDS",
    "Sun raster": rb"\x59\xa6\x6a\x95",
    "XPM": rb"/\* XPM \*/",
    "XBM": rb"#define \w+_width ",
    "WMF": rb"\xd7\xcd\xc6\x9a|[\x01\x02]\0\x09\0\0[\x01\x03]",
    "EMF": rb"\x01\0\0\0.{36} EMF",
    "DICOM": rb".{128}DICM",
    "FITS": rb"SIMPLE  =",
    "NRRD": rb"NRRD\d",
    "PostScript": rb"%!PS|\xc5\xd0\xd3\xc6",
    "ZIP": rb"PK(?:\x03\x04|\x05\x06)",
    "gzip": rb"\x1f\x8b\x08",
    "archive": rb"BZh\d|\xfd7zXZ\0|7z\xbc\xaf|Rar!\x1a|\x28\xb5\x2f\xfd|.{257}ustar",
    "WAV": rb"(RIFF|RF64)....WAVE",
    "NumPy": rb"\x93NUMPY",
    "MNIST data": rb"\0\0\x08[\x01\x03]\0",
    "Parquet": rb"PAR1",
    "Arrow": rb"ARROW1|FEA1",
    "SQLite": rb"SQLite format 3\0",
    "HDF5": rb"\x89HDF",
    "MATLAB": rb"MATLAB 5\.0",
    "pickle": rb"\x80[\x02-\x05]",
    "font": rb"wOF[F2]|OTTO|\0\x01\0\0\0[\x01-\x40]",
    "Microsoft Office": rb"\xd0\xcf\x11\xe0",
    "RTF": rb"\{\\rtf",
    "program": rb"MZ.{20}|\x7fELF|\xca\xfe\xba\xbe|\0asm",
    "AppleDouble": rb"\0\x05\x16[\0\x07]",
    "Git LFS pointer": rb"version https://git-lfs",
}
# Those that are text, by what it starts with, behind a byte order mark or none.
# Atomic, so that a text of a thousand comments is gone over once.
_PROLOGUE = rb"\s*+(?:(?><\?xml.*?\?>|<!--.*?-->|<!(?i:doctype) [^>\[]*+(?:\[.*?\])?>)\s*+)*+"
_TEXTS = {
    "PDF": rb"\s*%PDF-",
    "SVG": _PROLOGUE + rb"<(?i:svg|\w+:svg)\b",
    "HTML": _PROLOGUE + rb"<(?i:html|head|body|meta|title)\b|\s*<(?i:!doctype html)",
    "XML": rb"\s*<\?xml",
}
_MARKS = re.compile(rb"\A(\xef\xbb\xbf|\xff\xfe|\xfe\xff)|\0")  # and UTF-16's zeros
_TEXT_START = 8192  # bytes


def name_of(data: bytes) -> str | None:
    """Name the unsupported format of a file, or return None if it is not known."""
    text = _MARKS.sub(b"", data[:_TEXT_START])
    for signatures, start in ((_NAMES, data), (_TEXTS, text)):
        for name, signature in signatures.items():
            if re.match(signature, start, re.DOTALL):
                return name
    return None
