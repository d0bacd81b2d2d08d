"""Thin Bytewax graphs around the operators: ingest, features, decide, execute, account."""
