"""Ranks of relevant images, and the metrics of text-based person search."""
