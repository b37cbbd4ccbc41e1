"""A progressive JPEG's first scans: they alone hold the whole picture at an eighth of its size.

A decoder that scales by 8 takes one value a block, the DC coefficient, and a progressive file has
those of the whole picture in front (ITU-T T.81, annex G). The rest need not be decoded.
"""

import re

_START, _END = re.compile(b"\xff\xda"), b"\xff\xd9"
_PROGRESSIVE = 0xC2
_OTHER_FRAMES = (*range(0xC0, 0xC2), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))


def first_scans(data: bytes) -> bytes:
    """JPEG of the DC scans alone, for a decoder that scales by 8; what is no such file stays.

    A file without an end stays too: the decoder refuses it as truncated.
    """
    components, place = 0, 2
    while (marker := data[place + 1 : place + 2]) and marker != b"\xda":
        if marker[0] in _OTHER_FRAMES:
            return data
        if marker[0] == _PROGRESSIVE and len(data) > place + 9:
            components = data[place + 9]
        place += 2 + int.from_bytes(data[place + 2 : place + 4])
    covered: set[int] = set()
    for scan in _START.finditer(data, place) if components else ():
        parts = data[scan.end() + 2] if len(data) > scan.end() + 2 else 0
        spectrum = scan.end() + 3 + 2 * parts
        if data[spectrum : spectrum + 1] != b"\x00":  # the first scan of finer detail
            whole = len(covered) == components and data.find(_END, spectrum) > 0
            return data[: scan.start()] + _END if whole else data
        covered.update(data[scan.end() + 3 : spectrum : 2])
    return data
