"""A gallery in Milvus."""
