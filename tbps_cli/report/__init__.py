"""What people look at: contact sheets and HTML pages."""
