"""Images, speech and transcriptions: calls that are not conversations."""
