"""``sim``: a simulated model provider, a real HTTP server speaking both dialects."""
