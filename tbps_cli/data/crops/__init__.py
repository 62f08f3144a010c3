"""Any number of images, from folders, globs, lists and tar shards."""
