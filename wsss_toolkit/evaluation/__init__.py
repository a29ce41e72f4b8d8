"""Scores against ground truth, and the stage that computes them."""
