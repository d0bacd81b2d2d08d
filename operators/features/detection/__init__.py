"""Detectors: hidden size, orders that are not meant, absorbed flow. Scores, never orders."""
