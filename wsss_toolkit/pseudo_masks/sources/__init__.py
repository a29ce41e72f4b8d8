"""Where class maps come from, by name."""
