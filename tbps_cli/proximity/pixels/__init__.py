"""What a picture shows: colours by name, garments, sharpness."""
