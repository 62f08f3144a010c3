"""Recipe sections and checkpoints become objects here, and only here."""
