"""`tbps generate`: plan, edit, judge and write new pairs."""
