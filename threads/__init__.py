"""Conversations and turns: the store, the model/tool loop, and the streams that show it."""
