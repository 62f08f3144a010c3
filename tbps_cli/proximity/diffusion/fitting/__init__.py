"""Teach a diffusion pipeline people."""
