"""What makes SENSEI explore: ensemble disagreement and the go/explore switch."""
