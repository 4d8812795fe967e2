"""`sensei` and `python -m sensei`: arguments in, one call, no logic of their own.

Heavy modules are imported by the calls, so that `--help` is quick and threads are set before torch starts.
"""
