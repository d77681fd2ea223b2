"""What this dialect calls the fields of the neutral form, of the body and of its ``generationConfig``."""

from gateway.inference.dialects.terms import Terms

TERMS = Terms(
    request={
        "max_tokens": "maxOutputTokens",
        "stop": "stopSequences",
        "top_p": "topP",
        "top_k": "topK",
        "presence_penalty": "presencePenalty",
        "frequency_penalty": "frequencyPenalty",
        "choices": "candidateCount",
        "logprobs": "responseLogprobs",
        "top_logprobs": "logprobs",
        "reasoning": "thinkingConfig",
        "output": "responseMimeType",
        "output.schema": "responseJsonSchema",
        "service_tier": "serviceTier",
        "system": "systemInstruction",
        "tool_choice": "toolConfig",
    },
    tool={},
    block={},
)
