"""Finding people in a gallery, and measuring how well they were found."""
