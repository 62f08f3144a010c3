"""Which pairs make a batch, and how records become one."""
