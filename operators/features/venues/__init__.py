"""Features of one asset over all of its venues."""
