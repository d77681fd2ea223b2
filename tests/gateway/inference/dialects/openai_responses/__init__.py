"""The OpenAI Responses dialect, in both directions."""
