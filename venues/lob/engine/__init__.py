"""Orders and how they meet: all that is compiled."""
