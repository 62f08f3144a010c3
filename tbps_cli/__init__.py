"""Text-based person search: describe someone in a sentence, find them in a gallery of images."""

__version__ = "0.1.0"
