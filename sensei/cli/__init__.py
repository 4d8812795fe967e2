"""`python -m sensei`: arguments in, one call, no logic of their own."""
