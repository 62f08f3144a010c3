"""Captions and queries about drawn people, and what they state."""
