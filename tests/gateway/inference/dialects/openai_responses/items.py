"""Items and tools of requests."""

FUNCTION = {
    "type": "function",
    "name": "f",
    "description": None,
    "parameters": {"type": "object", "properties": {}},
    "strict": True,
}
CUSTOM = {"type": "custom", "name": "sh", "format": {"type": "grammar", "syntax": "lark", "definition": "s"}}
CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a": 1}'}
REASONING = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "One"}, {"type": "summary_text", "text": "Two\n\nThree"}],
    "encrypted_content": "gAAA",
}
