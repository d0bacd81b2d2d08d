"""Market structure: what the turning points of minute bars say about trend, levels and stops."""
