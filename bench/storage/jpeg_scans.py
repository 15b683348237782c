"""Is a JPEG whole? What decoders fill in or pass over is found here."""

from __future__ import annotations

import re

_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")  # in coded data: not a stuffed byte, not a restart
_FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
_SCAN, _END = 0xDA, 0xD9
ZERO_RUN = 64  # bytes of zero in a row that no coded block of higher frequencies has


def check_jpeg(content: bytes) -> None:
    """Refuse a JPEG of which a part is missing or was overwritten, as far as that can be seen.

    Seen is what the decoder warns of (coded data that ends early, goes on after the picture, or has no meaning), a
    scan that is missing, and a stretch of zeros in scans of higher frequencies. Not seen is damage after which the
    coded data still has a meaning and its length: most single flipped bits, and zeros in a scan of mean values of a
    progressive file. Only a checksum from the source finds those.

    Raises:
        ValueError: with the fault in words.
    """
    import simplejpeg

    _check_scans(content)
    simplejpeg.decode_jpeg(content, "GRAY", strict=True)


def _check_scans(content: bytes) -> None:
    """Every coefficient of every component must have been sent to its last bit."""
    missing: dict[int, list[int]] = {}  # of each component, how many low bits of each coefficient are not yet there
    place, precise = 2, 14
    while found := _MARKER.search(content, place):
        marker, body = found[1][0], found.end()
        if marker == _END:
            break
        length = int.from_bytes(content[body : body + 2], "big")
        segment, place = content[body + 2 : body + length], body + length
        if marker in _FRAMES:
            missing = {segment[6 + 3 * index]: [precise] * 64 for index in range(segment[5])}
        if marker == _SCAN:
            _take_scan(missing, segment)
            _check_zeros(content, place, segment)
    lacking = sorted(name for name, bits in missing.items() if any(bits))
    if lacking or not missing:
        raise ValueError(f"scans of the components {lacking} are missing")


def _take_scan(missing: dict[int, list[int]], segment: bytes) -> None:
    count = segment[0]
    first, last, bits = segment[1 + 2 * count], segment[2 + 2 * count], segment[3 + 2 * count]
    for index in range(count):
        left = missing[segment[1 + 2 * index]]
        left[first : last + 1] = [bits & 15] * (last + 1 - first)


def _check_zeros(content: bytes, start: int, segment: bytes) -> None:
    if not segment[1 + 2 * segment[0]]:
        return  # mean values of an even picture may be coded as zeros
    following = _MARKER.search(content, start)
    if bytes(ZERO_RUN) in content[start : following.start() if following else len(content)]:
        raise ValueError(f"{ZERO_RUN} or more bytes of zero within a scan")
