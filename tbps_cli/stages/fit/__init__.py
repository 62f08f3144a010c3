"""`tbps fit`: teach a diffusion pipeline the training people."""
