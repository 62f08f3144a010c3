"""Which image gets which change, as a value and as a file."""
