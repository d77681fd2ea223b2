"""Google's ears. The model is of the third generation: its calls must bring their signatures back."""

import base64
import re

from tests.gateway.inference.crossing.ask import Json, Told, ToldCall
from tests.gateway.inference.crossing.providers.provider import FakeProvider, joined
from tests.gateway.inference.wire import google as wire

_PATH = re.compile(r"/v1beta/models/(?P<model>[^:]+):(?P<method>generateContent|streamGenerateContent)")
_ROLES = {"user": "user", "model": "assistant"}


def hear(path: str, body: Json) -> Told:
    called = _PATH.fullmatch(path)
    assert called is not None, path
    config = body.get("generationConfig", {})
    calling = body.get("toolConfig", {}).get("functionCallingConfig", {})
    declared = [one for tool in body.get("tools", ()) for one in tool["functionDeclarations"]]
    if config.get("responseJsonSchema"):
        assert config["responseMimeType"] == "application/json"
    told = Told(
        path=path,
        model=called["model"],
        system=joined(body["systemInstruction"]["parts"]),
        stream=called["method"] == "streamGenerateContent",
        tools={one["name"]: one["parametersJsonSchema"] for one in declared},
        choice=calling["allowedFunctionNames"][0] if calling.get("mode") == "ANY" else None,
        schema=config.get("responseJsonSchema"),
        asked_to_think="thinkingConfig" in config,
    )
    results: dict[str, str] = {}
    for content in body["contents"]:
        for part in content["parts"]:
            if "functionResponse" in part:
                assert content["role"] == "user"
                result = part["functionResponse"]
                results[result.get("id") or result["name"]] = result["response"]["output"]
    for content in body["contents"]:
        for part in content["parts"]:
            _part(told, _ROLES[content["role"]], part, results)
    return told


def _part(told: Told, role: str, part: Json, results: dict[str, str]) -> None:
    if "functionCall" in part:
        call = part["functionCall"]
        result = results.get(call.get("id") or call["name"])
        told.calls.append(ToldCall(call["name"], call["args"], result, part.get("thoughtSignature")))
    elif "inlineData" in part:
        inline = part["inlineData"]
        told.images.append((inline["mimeType"], base64.b64decode(inline["data"], validate=True)))
    elif part.get("thought"):
        told.thoughts.append((part["text"], part.get("thoughtSignature", "")))
    elif part.get("text"):
        told.texts.append((role, part["text"]))
    if "text" in part and not part.get("thought") and part.get("thoughtSignature"):
        told.text_signatures.append(part["thoughtSignature"])


PROVIDER = FakeProvider(
    dialect="google",
    name="gemma",
    base_path="",
    model="gemini-3-pro-preview",
    hear=hear,
    whole_reply=wire.whole,
    stream_reply=wire.stream,
    error=wire.error,
    stream_error=wire.stream_error,
    signs_thoughts=False,
)
