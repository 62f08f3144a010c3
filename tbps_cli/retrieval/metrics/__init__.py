"""How well people were found: ranks, then the metrics of text-based person search."""
