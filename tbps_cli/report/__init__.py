"""What people look at: sheets, pages, model cards."""
