"""Images: loading, caching, views."""
