"""Recipe sections become objects here, as do checkpoints, nowhere else."""
