"""Cutting what a stream brings into its frames."""

from collections.abc import AsyncIterator


def split(data: bytes) -> list[bytes]:
    """The frames of whole pieces."""
    *frames, rest = data.split(b"\n\n")
    assert rest == b"", rest
    return [frame + b"\n\n" for frame in frames]


async def frames_of(pieces: AsyncIterator[bytes]) -> list[bytes]:
    return [frame async for piece in pieces for frame in split(piece)]
