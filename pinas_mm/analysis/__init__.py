"""Measures of what a supernet has learned."""
