"""Robodesk: the paper's robot at a desk."""
