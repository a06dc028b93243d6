"""Objectives, costs, constraints, and what is feasible."""
