"""Images: loading, caching, views; checks of annotations; small data sets of digits."""
