"""The gated multi-token Vision Transformer: docs/method.md, section 1."""
