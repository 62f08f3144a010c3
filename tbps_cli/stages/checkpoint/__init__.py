"""`tbps checkpoint`: show, export."""
