"""Which image is in which split, with groups that are kept together."""
