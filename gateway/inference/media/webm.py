"""The length of WebM and Matroska files (RFC 9559, EBML: RFC 8794), which browsers record. They often do not
state it: then it is the time of their last block."""

import struct
from typing import BinaryIO

_EBML_HEADER = 0x1A45DFA3
_SEGMENT, _INFO, _CLUSTER, _BLOCK_GROUP = 0x18538067, 0x1549A966, 0x1F43B675, 0xA0
_CONTAINERS = frozenset({_SEGMENT, _INFO, _CLUSTER, _BLOCK_GROUP})
_SCALE, _DURATION, _CLUSTER_TIME, _BLOCK, _SIMPLE_BLOCK = 0x2AD7B1, 0x4489, 0xE7, 0xA1, 0xA3
_USUAL_SCALE_NS = 1_000_000
_HEAD_BYTES = 16
_MOST_ELEMENTS = 1_000_000
"""Some hours of sound have fewer; a file of more is there to keep us busy."""


def webm_seconds(file: BinaryIO, size: int) -> float | None:
    """None if this file of ``size`` bytes is no such one, or holds no sound."""
    scale_ns, stated, cluster, latest = _USUAL_SCALE_NS, 0.0, 0, 0
    file.seek(0)
    first = _element(file)
    if first is None or first[0] != _EBML_HEADER or first[1] is None or first[1] > size:
        return None
    file.seek(first[1], 1)
    for _ in range(_MOST_ELEMENTS):
        element = _element(file)
        if element is None or _beyond(element, size):
            seconds = max(stated, float(latest)) * scale_ns / 1e9
            return seconds if 0 < seconds < float("inf") else None
        name, length = element
        if name in _CONTAINERS:
            continue
        if length is None:  # only containers may leave theirs open
            return None
        head = file.read(min(length, _HEAD_BYTES))
        file.seek(length - len(head), 1)
        if name == _SCALE:
            scale_ns = int.from_bytes(head, "big")
        elif name == _DURATION and len(head) == length in (4, 8):
            stated = struct.unpack(">f" if length == 4 else ">d", head)[0]
        elif name == _CLUSTER_TIME:
            cluster = int.from_bytes(head, "big")
        elif name in (_BLOCK, _SIMPLE_BLOCK):
            latest = max(latest, cluster + _block_time(head))
    return None


def _beyond(element: tuple[int, int | None], size: int) -> bool:
    """Whether the file ends before the element does (a container may: what is there counts)."""
    name, length = element
    return name not in _CONTAINERS and length is not None and length > size


def _block_time(head: bytes) -> int:
    """A block's time after its cluster's: it follows the number of its track."""
    track = _length(head[0]) if head else 0
    return int(struct.unpack(">h", head[track : track + 2])[0]) if track and len(head) >= track + 2 else 0


def _element(file: BinaryIO) -> tuple[int, int | None] | None:
    """The next element's name, and its size if that is known; None at the end."""
    name = _number(file, keep_marker=True)
    size = _number(file, keep_marker=False) if name is not None else None
    if name is None or size is None:
        return None
    value, is_open = size
    return name[0], None if is_open else value


def _number(file: BinaryIO, *, keep_marker: bool) -> tuple[int, bool] | None:
    """A number of variable length, and whether all of its bits are set: then it is not known."""
    first = file.read(1)
    length = _length(first[0]) if first else 0
    rest = file.read(length - 1) if length > 1 else b""
    if not length or len(rest) != length - 1:
        return None
    value = int.from_bytes(first + rest, "big")
    bits = value & ((1 << 7 * length) - 1)
    return (value if keep_marker else bits), bits == (1 << 7 * length) - 1


def _length(first: int) -> int:
    """How many bytes a number has, by its first; 0 if it cannot be one."""
    return 9 - first.bit_length() if first else 0
