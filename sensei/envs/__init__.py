"""RL environments behind one contract (contract.py): MiniHack, any Gymnasium pixel environment, toys for tests; workers beside them.

Nothing here imports torch: every environment worker is a process that starts with this package alone.
"""
