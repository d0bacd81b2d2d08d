"""Benchmarks: one file per claim, ratios measured in one run."""
