"""What makes SENSEI explore: reward sources and the go/explore switch between them."""
