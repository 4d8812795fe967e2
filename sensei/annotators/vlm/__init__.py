"""Annotators that ask a vision-language model, in this process or behind a server."""
