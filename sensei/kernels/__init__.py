"""What the CPU computes faster by kernels of our own; each function gives the same tensors with and without them."""
