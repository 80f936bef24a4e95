"""The demo territory: partners' files in the exact published formats, synthetic and labelled."""

from hub.demo.generate import Demo, DemoFile, generate

__all__ = ["Demo", "DemoFile", "generate"]
