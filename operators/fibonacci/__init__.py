"""Levels, zones and signals drawn from confirmed swings; timing of spreads between venues."""
