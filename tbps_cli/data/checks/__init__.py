"""What is wrong with a copy of a data set."""
