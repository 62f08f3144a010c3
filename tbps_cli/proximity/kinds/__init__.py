"""Kinds of requests: what a line of a plan says of each, and what its images promise."""
