"""The distilled reward: network, Bradley-Terry training, batched scorer."""
