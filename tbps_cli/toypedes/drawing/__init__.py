"""A person seen from somewhere -> a picture, its label map."""
