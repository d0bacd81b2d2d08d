"""What `trifecta` understands: arguments and options. What a command does is loaded with it."""
