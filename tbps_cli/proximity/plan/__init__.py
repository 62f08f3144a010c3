"""Which image gets which change: as a value, as a file."""
