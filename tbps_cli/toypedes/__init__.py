"""ToyPEDES: a pedestrian data set drawn from a seed. It shows nobody."""
