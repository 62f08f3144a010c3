"""Is an image what its request asked for? What is promised, measured, said."""
