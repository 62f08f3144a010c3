"""`tbps train`: train, resume, dry run."""
