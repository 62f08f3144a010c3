"""What a caption says: garments, their colours, the edits that follow from them."""
