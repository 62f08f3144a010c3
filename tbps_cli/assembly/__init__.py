"""Build objects from recipe sections or checkpoints."""
