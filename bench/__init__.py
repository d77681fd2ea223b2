"""Benchmarks: each a module to be run, each with its own floor measured in the same run."""
