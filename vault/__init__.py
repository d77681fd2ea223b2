"""Sealed secrets: a key ring outside the database, AES-256-GCM envelopes inside it."""
