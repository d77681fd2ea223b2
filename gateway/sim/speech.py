"""Speech, in OpenAI's form and in ElevenLabs': as long as the text would take, up to half a minute."""

import base64

from gateway.sim.conversation import Refused
from gateway.sim.made import Made, Wanted, as_events, text_in, tokens_in
from gateway.sim.sound import mp3, pcm, wav

MAX_SECONDS = 30.0
_CHARACTERS_PER_SECOND = 15
_TOKENS_PER_SECOND = 20
_MAKERS = {"mp3": (mp3, "audio/mpeg"), "wav": (wav, "audio/wav"), "pcm": (pcm, "audio/pcm")}


def speak(wanted: Wanted) -> Made:
    """``POST /audio/speech``. Raises Refused."""
    fields = wanted.fields()
    text_in(fields, "model")
    text = text_in(fields, "input")
    made = _sound(text, str(fields.get("response_format") or "mp3"), "response_format")
    if fields.get("stream_format") != "sse":
        return made
    heard, spoken = tokens_in(text), round(_seconds(text) * _TOKENS_PER_SECOND)
    usage = {"input_tokens": heard, "output_tokens": spoken, "total_tokens": heard + spoken}
    audio = base64.b64encode(made.body).decode()
    return as_events(
        [{"type": "speech.audio.delta", "audio": audio}, {"type": "speech.audio.done", "usage": usage}]
    )


def speak_as_elevenlabs(wanted: Wanted) -> Made:
    """``POST /v1/text-to-speech/{voice}``: a character costs one credit. Raises Refused."""
    fields = wanted.fields()
    text = text_in(fields, "text")
    made = _sound(text, wanted.query.get("output_format", "mp3").partition("_")[0], "output_format")
    return Made(made.body, made.content_type, ((b"character-cost", str(len(text)).encode()),))


def _sound(text: str, form: str, param: str) -> Made:
    if form not in _MAKERS:
        raise Refused(
            422, f"{param}: simulated speech is made as {', '.join(_MAKERS)}, not as {form}", param=param
        )
    make, content_type = _MAKERS[form]
    return Made(make(_seconds(text)), content_type)


def _seconds(text: str) -> float:
    return min(MAX_SECONDS, max(1.0, len(text) / _CHARACTERS_PER_SECOND))
