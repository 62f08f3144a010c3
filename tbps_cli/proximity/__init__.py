"""Proximity data generation (PDG): pairs that are one step away from real ones."""
