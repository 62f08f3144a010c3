"""`tbps gallery`: show, verify, merge, drop, export, index, push feature files."""
