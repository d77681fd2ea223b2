"""What a model is sent of a thread: repaired, fitted to its window, marked for its provider's cache."""
