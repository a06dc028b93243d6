"""Searching a supernet: evaluator, samplers, record, report."""
