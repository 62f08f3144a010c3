"""What a caption says: garments, their colours, and the edits that follow from them."""
