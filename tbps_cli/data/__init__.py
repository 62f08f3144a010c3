"""What a person record is."""
