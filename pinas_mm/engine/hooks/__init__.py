"""Hooks of mmengine's runner, one a file."""
