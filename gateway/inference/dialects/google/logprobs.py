"""Log probabilities: Google's ``logprobsResult`` and OpenAI Chat's list of tokens."""

from typing import Any


def decode_logprobs(result: Any) -> list[dict[str, Any]] | None:
    """None for anything that is no logprobsResult."""
    if not isinstance(result, dict) or not isinstance(result.get("chosenCandidates"), list):
        return None
    tops = result.get("topCandidates")
    tokens: list[dict[str, Any]] = []
    for number, chosen in enumerate(result["chosenCandidates"]):
        token = _token(chosen)
        if token is None:
            continue
        top = tops[number] if isinstance(tops, list) and number < len(tops) else None
        candidates = top.get("candidates") if isinstance(top, dict) else None
        others = [_token(other) for other in candidates] if isinstance(candidates, list) else []
        tokens.append({**token, "top_logprobs": [other for other in others if other is not None]})
    return tokens


def encode_logprobs(tokens: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "topCandidates": [
            {"candidates": [_candidate(top) for top in token.get("top_logprobs") or ()]} for token in tokens
        ],
        "chosenCandidates": [_candidate(token) for token in tokens],
    }


def _token(candidate: Any) -> dict[str, Any] | None:
    if not isinstance(candidate, dict):
        return None
    token, logprob = candidate.get("token", ""), candidate.get("logProbability", 0)
    if not isinstance(token, str) or not isinstance(logprob, int | float):
        return None
    return {"token": token, "logprob": logprob, "bytes": list(token.encode("utf-8", "replace"))}


def _candidate(token: dict[str, Any]) -> dict[str, Any]:
    return {"token": token.get("token", ""), "logProbability": token.get("logprob", 0)}
