"""A transcript as text, SubRip or WebVTT (W3C, WebVTT: The Web Video Text Tracks Format)."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Segment:
    """Something that was said, from ``start`` to ``end`` in seconds."""

    start: float
    end: float
    text: str
    confidence: float = 1.0


def srt(segments: Sequence[Segment]) -> str:
    cues = [
        f"{number}\n{_time(said.start, ',')} --> {_time(said.end, ',')}\n{said.text}\n"
        for number, said in enumerate(segments, start=1)
    ]
    return "\n".join(cues)


def vtt(segments: Sequence[Segment]) -> str:
    cues = [f"{_time(said.start, '.')} --> {_time(said.end, '.')}\n{said.text}\n" for said in segments]
    return "\n".join(["WEBVTT\n", *cues])


def _time(seconds: float, point: str) -> str:
    whole_ms = round(seconds * 1000)
    minutes, ms = divmod(whole_ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{ms // 1000:02}{point}{ms % 1000:03}"
