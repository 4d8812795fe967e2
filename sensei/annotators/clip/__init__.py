"""Annotators that compare pictures with descriptions."""
