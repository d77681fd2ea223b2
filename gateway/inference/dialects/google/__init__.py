"""The Google Gemini dialect (ai.google.dev, API reference: generateContent), spoken by providers only."""

NAME = "google"
