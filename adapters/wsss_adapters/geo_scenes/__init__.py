"""Georeferenced scenes: found, read window by window, and described beside their masks."""
