"""Draw a person in a view, with a label map."""
