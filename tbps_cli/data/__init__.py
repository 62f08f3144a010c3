"""What a person record is, and how a batch of them is made."""
