"""`tbps search`: queries, the galleries they are asked of, and pictures of the hits."""
