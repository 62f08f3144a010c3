"""The command line: Click, and nothing but Click."""
