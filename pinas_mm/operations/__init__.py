"""What a choice block can be."""
