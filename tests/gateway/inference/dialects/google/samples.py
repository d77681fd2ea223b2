"""A request and a stream that hold everything."""

from typing import Any

from gateway.inference.dialects.neutral import Tool
from tests.gateway.inference.dialects.google.builders import chunk, frames

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "additionalProperties": False}
FUNCTION = Tool(name="f", description="does", schema=SCHEMA)
REQUEST: dict[str, Any] = {
    "systemInstruction": {"role": "user", "parts": [{"text": "Be brief."}, {"text": "Be kind."}]},
    "contents": [
        {
            "role": "user",
            "parts": [
                {"text": "Look"},
                {"inlineData": {"mimeType": "image/png", "data": "aWs="}},
                {"inlineData": {"mimeType": "application/pdf", "data": "aWs=", "displayName": "a.pdf"}},
                {"inlineData": {"mimeType": "audio/wav", "data": "aWs="}},
                {"inlineData": {"mimeType": "audio/mpeg", "data": "aWs="}},
                {"inlineData": {"mimeType": "video/mp4", "data": "aWs="}, "videoMetadata": {"fps": 0.5}},
                {"fileData": {"fileUri": "https://example.com/a.png"}},
                {"fileData": {"fileUri": "gs://bucket/b.mp4", "mimeType": "video/mp4"}},
                {"fileData": {"fileUri": "https://youtu.be/x", "mimeType": "video/mp4"}},
            ],
        },
        {
            "role": "model",
            "parts": [
                {"text": "Hm", "thought": True, "thoughtSignature": "c2ln"},
                {"text": "I see", "thoughtSignature": "dGV4dA=="},
                {"functionCall": {"name": "f", "args": {"city": "Rome"}}, "thoughtSignature": "Y2FsbA=="},
                {"functionCall": {"id": "c2", "name": "g", "args": {}}},
                {"executableCode": {"language": "PYTHON", "code": "1"}, "thoughtSignature": "Y29kZQ=="},
                {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
                {"toolCall": {"toolType": "GOOGLE_SEARCH_WEB", "id": "s"}, "thoughtSignature": "dG9vbA=="},
                {"text": "", "thoughtSignature": "ZW5k"},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"name": "f", "response": {"temperature": 20}}},
                {
                    "functionResponse": {
                        "id": "c2",
                        "name": "g",
                        "response": {"output": "seen"},
                        "parts": [{"inlineData": {"mimeType": "image/png", "data": "aWs="}}],
                        "scheduling": "SILENT",
                    }
                },
            ],
        },
        {"role": "user", "parts": [{"text": "Go on", "partMetadata": {"a": 1}}]},
    ],
    "tools": [
        {
            "functionDeclarations": [
                {"name": "f", "description": "does", "parametersJsonSchema": SCHEMA},
                {"name": "g", "parameters": {"type": "OBJECT", "properties": {
                    "n": {"type": "INTEGER", "nullable": True, "description": "how many"}}}},
                {"name": "h", "behavior": "BLOCKING"},
            ]
        },
        {"googleSearch": {}},
        {"urlContext": {}},
        {"codeExecution": {}},
        {"fileSearch": {"fileSearchStoreNames": ["a"]}},
    ],
    "toolConfig": {
        "functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f", "g"]},
        "retrievalConfig": {"languageCode": "de"},
        "includeServerSideToolInvocations": True,
    },
    "generationConfig": {
        "maxOutputTokens": 100,
        "temperature": 0.5,
        "topP": 0.9,
        "topK": 40,
        "seed": 7,
        "stopSequences": ["END"],
        "candidateCount": 2,
        "presencePenalty": 0.1,
        "frequencyPenalty": 0.2,
        "responseLogprobs": True,
        "logprobs": 3,
        "responseMimeType": "application/json",
        "responseJsonSchema": SCHEMA,
        "thinkingConfig": {"thinkingLevel": "LOW", "includeThoughts": True},
        "responseModalities": ["TEXT"],
        "mediaResolution": "MEDIA_RESOLUTION_LOW",
    },
    "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
    "cachedContent": "cachedContents/1",
    "labels": {"team": "a"},
    "serviceTier": "flex",
    "aFieldOfTomorrow": {"x": 1},
}  # fmt: skip
USAGE = {"promptTokenCount": 7, "candidatesTokenCount": 3, "thoughtsTokenCount": 2, "totalTokenCount": 12}
LAST = {**chunk({"text": " Ende"}, finishReason="STOP"), "usageMetadata": USAGE}
RICH = frames(
    {**chunk({"text": "Hm", "thought": True}), "usageMetadata": {"promptTokenCount": 7}},
    chunk({"text": "…so", "thought": True, "thoughtSignature": "dGhpbms="}),
    chunk({"text": "Grüß ", "thoughtSignature": "Zmlyc3Q="}),
    chunk({"text": "Gott 👋"}),
    chunk(
        {"functionCall": {"name": "f", "args": {"a": "ö"}}, "thoughtSignature": "Y2FsbA=="},
        {"functionCall": {"id": "x", "name": "g", "args": {}}},
    ),
    chunk({"executableCode": {"language": "PYTHON", "code": "1"}}),
    chunk({"toolCall": {"toolType": "FILE_SEARCH", "id": "s"}, "thoughtSignature": "dG9vbA=="}),
    chunk({"inlineData": {"mimeType": "image/png", "data": "aWs="}}),
    chunk({"text": "Fast"}),
    chunk({"text": " fertig", "thoughtSignature": "bWlk"}),
    chunk({"text": "Und"}),
    {
        **chunk(
            {"text": "", "thoughtSignature": "ZW5k"},
            finishReason="STOP",
            groundingMetadata={
                "webSearchQueries": ["q"],
                "groundingChunks": [{"web": {"uri": "https://a.example", "title": "a"}}],
                "groundingSupports": [
                    {"segment": {"endIndex": 3, "text": "Und"}, "groundingChunkIndices": [0]}
                ],
            },
        ),
        "usageMetadata": {**USAGE, "serviceTier": "standard"},
    },
)
