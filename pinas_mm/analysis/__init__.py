"""Measures of what a supernet has learned or an untrained network says; tables of architectures."""
