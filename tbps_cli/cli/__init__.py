"""The command line: Click, nothing but Click."""
