"""Sources: what brings the frames of venues that no websocket session of ours reads."""
