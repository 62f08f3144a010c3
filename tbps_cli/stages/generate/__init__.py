"""`tbps generate`: plan, edit, judge, write new pairs."""
