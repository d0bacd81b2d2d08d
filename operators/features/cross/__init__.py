"""One market among the others of its lane, and against the clock and the calendar."""
