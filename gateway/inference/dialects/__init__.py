"""The wire dialects that providers and clients speak: pure functions from value to value, no I/O."""
