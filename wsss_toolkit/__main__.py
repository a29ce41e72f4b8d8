"""`python -m wsss_toolkit`, which launchers such as torchrun can start."""

from wsss_toolkit.cli import main

main()
