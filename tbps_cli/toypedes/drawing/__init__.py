"""From a person and a view to a picture and its label map."""
