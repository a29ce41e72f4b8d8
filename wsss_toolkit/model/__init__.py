"""The gated multi-token Vision Transformer: sections 1, 2 and 5 of the method (docs/design.md)."""
