"""One verb, one function: plain arguments in, a path or a report out."""
