"""`tbps search`: open galleries, ask them, show hits."""
