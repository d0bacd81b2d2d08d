"""Order flow: what quotes, book levels and trades say about who is in a hurry."""
