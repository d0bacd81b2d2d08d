"""From envelopes to orders, and a venue to meet them in a simulation."""
