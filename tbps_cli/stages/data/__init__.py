"""`tbps data`: list, check, show, compare, convert data sets."""
