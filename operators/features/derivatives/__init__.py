"""Derivatives against what they are of: funding, open interest, basis, premium, options, funds."""
