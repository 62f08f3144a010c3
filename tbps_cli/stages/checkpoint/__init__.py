"""`tbps checkpoint`: show and export checkpoints."""
