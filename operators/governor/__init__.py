"""Who decides: the lane proposes with its own instruments in view, the portfolio approves."""
