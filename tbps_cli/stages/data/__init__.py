"""`tbps data`: list, check, show, compare and convert data sets."""
