"""Stacks of frames as scenes, whatever the frames are stored in."""
