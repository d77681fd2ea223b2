"""Inference in the background: a request that is stored, run by any process, and its answer kept."""
