"""Where requests go: which dialect a path speaks, and whose place the simulator takes there.

Under ``/as/<vendor>`` it stands in for a vendor: it has any model, and the vendors' other routes besides.
"""

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import parse_qsl, unquote

from gateway.sim import anthropic_answer, openai_answer
from gateway.sim.embeddings import embed
from gateway.sim.exchange import Answers
from gateway.sim.made import Made, Wanted
from gateway.sim.pictures import draw
from gateway.sim.speech import speak, speak_as_elevenlabs
from gateway.sim.transcripts import transcribe, transcribe_as_deepgram
from gateway.sim.translated import Google, Responses

_STAND_IN = re.compile(r"/as/[^/]+(/.*)")
_GOOGLE = re.compile(r"/v1beta/(?:models|tunedModels)/(.+):(generateContent|streamGenerateContent)")
_MAKERS: tuple[tuple[str, Callable[[Wanted], Made | Awaitable[Made]]], ...] = (
    ("/v1/embeddings", embed),
    ("/v1/images/generations", draw),
    ("/v1/audio/speech", speak),
    ("/v1/audio/transcriptions", transcribe),
    ("/v1/text-to-speech/", speak_as_elevenlabs),
    ("/v1/listen", transcribe_as_deepgram),
)


def place_of(path: str) -> tuple[str, bool]:
    """The path at the vendor's, and whether the simulator stands in for one."""
    found = _STAND_IN.fullmatch(path)
    return (found[1], True) if found else (path, False)


def answers_at(path: str, headers: Mapping[str, str], *, stand_in: bool) -> Answers:
    """How a path is answered, errors included."""
    if path.startswith("/v1/messages") or (path == "/v1/models" and "anthropic-version" in headers):
        return anthropic_answer
    if stand_in and path.startswith("/v1beta/"):
        return Google()
    if stand_in and path == "/v1/responses":
        return Responses()
    return openai_answer


def google_call(path: str) -> tuple[str, bool] | None:
    """The model of a call in Google's dialect, and whether it streams."""
    found = _GOOGLE.fullmatch(path)
    return (unquote(found[1]), found[2] != "generateContent") if found else None


async def made_at(path: str, query: bytes, headers: Mapping[str, str], body: bytes) -> Made | None:
    """What a vendor's other routes answer; None where there is none. Raises Refused."""
    for beginning, make in _MAKERS:
        if path == beginning or (beginning.endswith("/") and path.startswith(beginning)):
            made = make(Wanted(path, dict(parse_qsl(query.decode("latin-1"))), headers, body))
            return await made if inspect.isawaitable(made) else made
    return None
