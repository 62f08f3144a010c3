"""`tbps evaluate`: rank a split, measure, report."""
