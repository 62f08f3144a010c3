"""`tbps search`: galleries are opened, asked, shown."""
