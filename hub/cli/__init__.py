"""The command line: thin ways to say the verbs. Every reading command takes `--json`."""

from hub.cli.app import main

__all__ = ["main"]
