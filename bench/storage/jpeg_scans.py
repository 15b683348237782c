"""What a JPEG decoder lets pass without a word: scans that are missing, and data that was lost within one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

SOF = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}  # frames of Huffman or arithmetic coding
PROGRESSIVE = {0xC2, 0xCA}
ALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a length
SOS, EOI, DHT = 0xDA, 0xD9, 0xC4
LOST = 256  # zero bytes in a row that coded pictures do not have and files with lost sectors do
COEFFICIENTS = 64


@dataclass(frozen=True)
class Scan:
    """One scan: its components, the band of coefficients, the bits before and after it, and its coded data."""

    components: tuple[int, ...]
    first: int
    last: int
    before: int
    after: int
    data: bytes


def jpeg_fault(content: bytes) -> str | None:
    """What is wrong with a JPEG file that begins and ends as one, as far as its markers and libjpeg tell.

    A byte that was changed into another one with which the rest still decodes is not seen; about two in three are not.
    """
    import simplejpeg

    try:
        simplejpeg.decode_jpeg(content, colorspace="GRAY", strict=True)
    except ValueError as error:
        return str(error)
    components, progressive, scans, black = _read(content)
    if progressive and (missing := _unfinished(components, scans)):
        return f"scans are missing: {missing}"
    zeros = bytes(LOST)
    # where nothing but zero bits codes a black block, black pictures hold long runs of them
    coded = (scan for scan in scans if scan.first > 0 or not progressive)
    if any(zeros in scan.data for scan in coded if scan.before == 0 and not black):
        return f"{LOST} zero bytes in a row within the coded picture"
    return None


def _read(content: bytes) -> tuple[tuple[int, ...], bool, list[Scan], bool]:
    """The components of the frame, whether it is progressive, its scans, and whether zero bits alone may code an end of
    block."""
    components: tuple[int, ...] = ()
    progressive, black = False, False
    scans = []
    for marker, body, data in _segments(content):
        if marker in SOF:
            components = tuple(body[6 + 3 * each] for each in range(body[5]))
            progressive = marker in PROGRESSIVE
        elif marker == DHT:
            black = black or _zeros_end_a_block(body)
        elif marker == SOS:
            count = body[0]
            named = tuple(body[1 + 2 * each] for each in range(count))
            first, last, bits = body[1 + 2 * count : 4 + 2 * count]
            scans.append(Scan(named, first, last, bits >> 4, bits & 15, data))
    return components, progressive, scans, black


def _segments(content: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Marker, body and the coded data behind it, in order, up to the end marker."""
    place = 2
    while place + 4 <= len(content):
        if content[place] != 0xFF:
            place += 1
            continue
        marker = content[place + 1]
        if marker == EOI:
            return
        if marker in ALONE or marker in (0x00, 0xFF):
            place += 1 if marker == 0xFF else 2
            continue
        length = int.from_bytes(content[place + 2 : place + 4], "big")
        start = place + 2 + length
        stop = _end_of_data(content, start) if marker == SOS else start
        yield marker, content[place + 4 : start], content[start:stop]
        place = stop


def _end_of_data(content: bytes, start: int) -> int:
    """Where coded data ends: at the next marker that is no restart and no stuffed byte."""
    place = content.find(b"\xff", start)
    while place >= 0 and place + 1 < len(content):
        following = content[place + 1]
        if following != 0x00 and not 0xD0 <= following <= 0xD7:
            return place
        place = content.find(b"\xff", place + 2)
    return len(content)


def _zeros_end_a_block(body: bytes) -> bool:
    """Whether the shortest code of an AC table, which is all zeros, means that the rest of a block is zero."""
    while len(body) >= 17:
        counts = body[1:17]
        symbols = body[17 : 17 + sum(counts)]
        if body[0] >> 4 == 1 and symbols[:1] == b"\0":
            return True
        body = body[17 + sum(counts) :]
    return False


def _unfinished(components: tuple[int, ...], scans: list[Scan]) -> str:
    """Components of a progressive picture of which a coefficient was never given, or not to its last bit."""
    left = {each: [-1] * COEFFICIENTS for each in components}
    for scan in scans:
        for each in scan.components:
            for place in range(scan.first, min(scan.last, COEFFICIENTS - 1) + 1):
                left.setdefault(each, [-1] * COEFFICIENTS)[place] = scan.after
    short = {each: sum(bits != 0 for bits in places) for each, places in left.items()}
    return ", ".join(f"{count} of 64 coefficients of component {each}" for each, count in short.items() if count)
