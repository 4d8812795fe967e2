"""What was learned, in one's own scripts: load an agent, play it, look into its imagination (docs/using.md)."""
