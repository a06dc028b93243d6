"""What a search shows: page, figures, tables."""
