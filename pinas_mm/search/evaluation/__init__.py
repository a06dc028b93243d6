"""An architecture's score: prefixes, recalibration, scores."""
