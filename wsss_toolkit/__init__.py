"""Weakly supervised semantic segmentation: image-level labels in, masks out.

Importing this package loads neither torch nor any other heavy library.
"""

__version__ = "0.1.0"
