"""Image-level labels and the files that hold them; the one gate to ground truth."""
