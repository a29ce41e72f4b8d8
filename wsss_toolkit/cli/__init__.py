"""The command `wsss`. Commands are loaded when they are called, heavy libraries inside them."""

from wsss_toolkit.cli.main import cli, main

__all__ = ["cli", "main"]
