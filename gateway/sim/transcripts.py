"""Transcriptions, in OpenAI's form and in Deepgram's: one sentence, as long as the file really lasts."""

import asyncio
from io import BytesIO
from typing import Any

from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.types import Message

from gateway.inference.media.sound import length_of
from gateway.inference.media.subtitles import Segment, srt, vtt
from gateway.sim.conversation import Refused
from gateway.sim.made import Made, Wanted, as_events, as_json, tokens_in

TEXT = "This is a simulated transcript."
_TOKENS_PER_SECOND = 10
_TEXTS = {"text": "text/plain; charset=utf-8", "srt": "text/plain; charset=utf-8", "vtt": "text/vtt"}


async def transcribe(wanted: Wanted) -> Made:
    """``POST /audio/transcriptions``, a form with a file. Raises Refused."""
    form = await _form(wanted)
    try:
        file, model = form.get("file"), form.get("model")
        if file is None or isinstance(file, str):
            raise Refused(400, "file: expected a file to transcribe", param="file")
        if not isinstance(model, str) or not model:
            raise Refused(400, "you must provide a model parameter", param="model")
        return _answer(form, model, await _seconds(await file.read()))
    finally:
        await form.close()


async def transcribe_as_deepgram(wanted: Wanted) -> Made:
    """``POST /v1/listen``: the body is the file."""
    seconds = await _seconds(wanted.body)
    said = TEXT.split()
    each = seconds / len(said)
    words = [
        {"start": round(number * each, 3), "end": round((number + 1) * each, 3), "confidence": 1.0}
        | {"word": word.strip(".").lower(), "punctuated_word": word}
        for number, word in enumerate(said)
    ]
    heard = {"transcript": TEXT, "confidence": 1.0, "words": words}
    whole = {"start": 0.0, "end": seconds, "confidence": 1.0, "channel": 0, "transcript": TEXT}
    results = {
        "channels": [{"alternatives": [heard], "detected_language": "en"}],
        "utterances": [{**whole, "words": words}],
    }
    return as_json({"metadata": {"duration": seconds, "channels": 1}, "results": results})


async def _form(wanted: Wanted) -> FormData:
    """Raises Refused."""
    request = Request({"type": "http", "headers": _raw(wanted)}, _receiving(wanted.body))
    try:
        return await request.form()
    except MultiPartException as error:
        raise Refused(400, f"The form cannot be read: {error.message}") from None


def _answer(form: FormData, model: str, seconds: float) -> Made:
    shape = str(form.get("response_format") or "json")
    segment = Segment(0.0, seconds, TEXT)
    if form.get("stream") in ("true", "1") and shape in ("json", "text"):
        done = {"type": "transcript.text.done", "text": TEXT, "usage": _usage(model, seconds)}
        return as_events([{"type": "transcript.text.delta", "delta": TEXT}, done])
    if shape in _TEXTS:
        text = {"text": f"{TEXT}\n", "srt": srt([segment]), "vtt": vtt([segment])}[shape]
        return Made(text.encode(), _TEXTS[shape])
    answer: dict[str, Any] = {"text": TEXT, "usage": _usage(model, seconds)}
    if shape == "verbose_json":
        answer |= {"task": "transcribe", "language": "english", "duration": seconds}
        answer["segments"] = [{"id": 0, "seek": 0, "start": 0.0, "end": seconds, "text": TEXT, "tokens": []}]
    elif shape == "diarized_json":
        answer |= {"task": "transcribe", "duration": seconds}
        answer["segments"] = [
            {"type": "transcript.text.segment", "id": "seg_0", "speaker": "A"}
            | {"start": 0.0, "end": seconds, "text": TEXT}
        ]
    return as_json(answer)


def _usage(model: str, seconds: float) -> dict[str, Any]:
    """Models that are sold by tokens tell tokens, the others seconds."""
    if "transcribe" not in model:
        return {"type": "duration", "seconds": seconds}
    heard, written = max(1, round(seconds * _TOKENS_PER_SECOND)), tokens_in(TEXT)
    return {
        "type": "tokens",
        "input_tokens": heard,
        "input_token_details": {"audio_tokens": heard, "text_tokens": 0},
        "output_tokens": written,
        "total_tokens": heard + written,
    }


async def _seconds(file: bytes) -> float:
    return float((await asyncio.to_thread(length_of, BytesIO(file), len(file))).seconds)


def _raw(wanted: Wanted) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in wanted.headers.items()]


def _receiving(body: bytes) -> Any:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive
