"""The quality of what was recorded: Great Expectations runs the declared suites over it."""
