"""Agents: the world-model agent with its actor-critic in imagination, PPO, and the random one."""
