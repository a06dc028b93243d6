"""The demonstration: real digits, a small supernet, and proof that the method works on it."""
