"""Reading weights, all of them or not at all."""
