"""RL environments behind one contract (contract.py): MiniHack, Robodesk, any Gymnasium pixel environment, toys; workers beside them.

Nothing here imports torch, since every environment worker is a process that starts with this package alone, and no family imports its
simulator before an environment is made, since families are imported to check a study.
"""
