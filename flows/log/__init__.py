"""The log: messages, profiles that store them, and the source and sink of every flow."""
