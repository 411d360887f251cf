"""The proof beside peers: what Ridgeline does in a second, measured in turn with programs that do the same."""
