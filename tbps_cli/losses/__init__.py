"""Functions of tensors, nothing else."""
