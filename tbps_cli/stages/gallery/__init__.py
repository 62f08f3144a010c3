"""`tbps gallery`: show, verify, merge, drop, export, index and push feature files."""
