"""Any number of images, from folders, globs, lists or tar shards."""
