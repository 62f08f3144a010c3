"""`tbps embed`: a split of a data set, or any number of images, into a feature file."""
