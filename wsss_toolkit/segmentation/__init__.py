"""The segmentation network that learns from pseudo-masks."""
