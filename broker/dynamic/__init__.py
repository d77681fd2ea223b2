"""Dynamic mode: a model finds and calls any of an account's tools by four tools that never change."""
