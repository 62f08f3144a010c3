"""Editing with a diffusion model: any pipeline in the shape of Stable Diffusion, from a hub or a folder."""
