"""A gallery in a FAISS index."""
