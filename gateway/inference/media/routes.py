"""The routes for images, speech and transcriptions: plain ASGI, like those for conversations."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.inference.answering import answer
from gateway.inference.dialects.dialect import RequestFacts
from gateway.inference.inference import Inference
from gateway.inference.media import deepgram, elevenlabs, images, openai_speech, openai_transcription
from gateway.inference.media.asked import Asked
from gateway.inference.media.passage import DEEPGRAM, ELEVENLABS, OPENAI
from gateway.inference.media.speech_request import Speech, read_speech
from gateway.inference.media.transcription_request import FILE_FIELD, Transcription, read_transcription
from gateway.inference.media.uploads import received
from gateway.inference.plan import MediaRequest
from gateway.inference.route import caller_of, read_body

IMAGES_PATH = "/v1/images/generations"
SPEECH_PATH = "/v1/audio/speech"
TRANSCRIPTIONS_PATH = "/v1/audio/transcriptions"

_SPEECH = {ELEVENLABS.dialect: elevenlabs.way, OPENAI.dialect: openai_speech.way}
_TRANSCRIPTIONS = {DEEPGRAM.dialect: deepgram.way, OPENAI.dialect: openai_transcription.way}

Reader = Callable[[Scope, Receive], AbstractAsyncContextManager[MediaRequest]]
"""Understands a request; what it keeps of it is gone when the context is left."""


def media_routes(
    inference: Inference, *, max_request_bytes: int, max_upload_bytes: int
) -> Mapping[str, ASGIApp]:
    """The endpoints by path; bodies with a file may be larger than others."""

    @asynccontextmanager
    async def transcription(scope: Scope, receive: Receive) -> AsyncIterator[MediaRequest]:
        async with received(scope, receive, file_field=FILE_FIELD, limit=max_upload_bytes) as upload:
            yield _asked_for_transcription(await read_transcription(upload))

    def of_json(understood: Callable[[bytes], MediaRequest]) -> Reader:
        @asynccontextmanager
        async def read(scope: Scope, receive: Receive) -> AsyncIterator[MediaRequest]:  # noqa: ARG001
            yield understood(await read_body(receive, max_request_bytes))

        return read

    return {
        IMAGES_PATH: MediaRoute(inference, of_json(images.asked_for_images)),
        SPEECH_PATH: MediaRoute(inference, of_json(_asked_for_speech)),
        TRANSCRIPTIONS_PATH: MediaRoute(inference, transcription),
    }


class MediaRoute:
    """One endpoint. Errors are raised as domain errors; the front door renders them."""

    def __init__(self, inference: Inference, read: Reader) -> None:
        self._inference = inference
        self._read = read

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = caller_of(scope)
        async with self._read(scope, receive) as request:
            plan = await self._inference.plan_media(request, caller.account_id, allowed_models=caller.models)
            await answer(self._inference, plan, caller, scope, receive, send)


def _asked_for_speech(raw: bytes) -> Asked[Speech]:
    speech = read_speech(raw)
    facts = RequestFacts(speech.model, stream=True, max_tokens=None, generates=False)
    return Asked(facts, speech, _SPEECH)


def _asked_for_transcription(asked: Transcription) -> Asked[Transcription]:
    facts = RequestFacts(asked.model, asked.stream, max_tokens=None, generates=False)
    return Asked(facts, asked, _TRANSCRIPTIONS)
