"""Masks of whole scenes: windows stream through a trained model, their scores are blended, blocks are written."""
