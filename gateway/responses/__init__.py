"""OpenAI's stored responses and conversations, as turns and threads."""
