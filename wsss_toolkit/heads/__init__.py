"""Heads, which read the backbone's tokens and give a score for every class; with it they make a classifier."""
