"""Which pairs make a batch, as tensors."""
