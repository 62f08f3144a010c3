"""The upper body, from the three sides that a person is seen from."""
