"""What is said of drawn people, what is asked for."""
