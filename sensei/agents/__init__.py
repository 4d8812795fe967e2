"""Agents: imagination-trained actor-critic on the world model, and the random one."""
