"""What a request for a transcription asks for, in OpenAI's shape (API reference: Create transcription)."""

import asyncio
from dataclasses import dataclass

from gateway.inference.media.sound import Length, length_of
from gateway.inference.media.uploads import Upload
from kit.errors import InvalidRequest

FILE_FIELD = "file"
FORMATS = ("json", "text", "srt", "verbose_json", "vtt", "diarized_json")
TEXT_FORMATS = frozenset({"text", "srt", "vtt"})
"""Formats whose answers have no place for usage."""
MAX_PROMPT_CHARACTERS = 100_000
_TRUE, _FALSE = ("true", "1"), ("false", "0", "")


@dataclass(frozen=True, slots=True)
class Transcription:
    """``length``: of the sound, as far as it can be told before a provider has heard it."""

    model: str
    format: str
    stream: bool
    language: str | None
    prompt: str
    words: bool
    """Whether the times of single words are asked for."""
    upload: Upload
    length: Length


async def read_transcription(upload: Upload) -> Transcription:
    """Raises InvalidRequest naming the field."""
    model = upload.text("model")
    if model is None or len(model) > 200:
        raise InvalidRequest("model: expected a text of 1 to 200 characters", param="model")
    answer_format = upload.text("response_format") or "json"
    if answer_format not in FORMATS:
        raise InvalidRequest(
            f"response_format: expected one of {', '.join(FORMATS)}", param="response_format"
        )
    prompt = upload.text("prompt") or ""
    if len(prompt) > MAX_PROMPT_CHARACTERS:
        raise InvalidRequest(f"prompt: expected at most {MAX_PROMPT_CHARACTERS} characters", param="prompt")
    return Transcription(
        model=model,
        format=answer_format,
        stream=_stream(upload),
        language=upload.text("language"),
        prompt=prompt,
        words="word" in upload.texts("timestamp_granularities"),
        upload=upload,
        length=await asyncio.to_thread(length_of, upload.file, upload.size),
    )


def _stream(upload: Upload) -> bool:
    value = (upload.text("stream") or "").lower()
    if value not in (*_TRUE, *_FALSE):
        raise InvalidRequest("stream: expected true or false", param="stream")
    return value in _TRUE
