"""What a request for speech asks for, in OpenAI's shape (API reference: Create speech)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.inference.dialects.fields import text_field
from gateway.inference.plan import parse_object
from kit.errors import InvalidRequest

MAX_CHARACTERS = 40_000
"""The most that any known model reads at once (ElevenLabs Flash v2.5); providers refuse what is too long for
the model."""
FORMATS = ("mp3", "opus", "aac", "flac", "wav", "pcm")
SLOWEST, FASTEST = 0.25, 4.0


@dataclass(frozen=True, slots=True)
class Speech:
    """``wants_events``: the client asked for the sound within server-sent events."""

    model: str
    text: str
    voice: str
    instructions: str | None
    format: str
    speed: float | None
    wants_events: bool
    body: Mapping[str, Any] = field(repr=False)


def read_speech(raw: bytes) -> Speech:
    """Raises InvalidRequest naming the field."""
    body = parse_object(raw)
    return Speech(
        model=text_field(body, "model"),
        text=_text(body),
        voice=_voice(body),
        instructions=_instructions(body),
        format=_one_of(body, "response_format", FORMATS, "mp3"),
        speed=_speed(body),
        wants_events=_one_of(body, "stream_format", ("audio", "sse"), "audio") == "sse",
        body=body,
    )


def _text(body: Mapping[str, Any]) -> str:
    text = body.get("input")
    if not isinstance(text, str) or not text:
        raise InvalidRequest("input: expected the text to speak", param="input")
    if len(text) > MAX_CHARACTERS:
        raise InvalidRequest(f"input: expected at most {MAX_CHARACTERS} characters", param="input")
    return text


def _voice(body: Mapping[str, Any]) -> str:
    voice = body.get("voice")
    name = voice.get("id") if isinstance(voice, dict) else voice
    if not isinstance(name, str) or not 0 < len(name) <= 200:
        raise InvalidRequest('voice: expected a voice\'s name, or {"id": …}', param="voice")
    return name


def _instructions(body: Mapping[str, Any]) -> str | None:
    said = body.get("instructions")
    if said is not None and not isinstance(said, str):
        raise InvalidRequest("instructions: expected a text", param="instructions")
    if said is not None and len(said) > MAX_CHARACTERS:
        raise InvalidRequest(
            f"instructions: expected at most {MAX_CHARACTERS} characters", param="instructions"
        )
    return said


def _speed(body: Mapping[str, Any]) -> float | None:
    speed = body.get("speed")
    if speed is None:
        return None
    if isinstance(speed, bool) or not isinstance(speed, int | float) or not SLOWEST <= speed <= FASTEST:
        raise InvalidRequest(f"speed: expected a number from {SLOWEST} to {FASTEST}", param="speed")
    return float(speed)


def _one_of(body: Mapping[str, Any], name: str, choices: tuple[str, ...], usual: str) -> str:
    value = body.get(name)
    if value is None:
        return usual
    if value not in choices:
        raise InvalidRequest(f"{name}: expected one of {', '.join(choices)}", param=name)
    return str(value)
