"""Operations that a CPU computes faster by code of our own than by PyTorch's; each function gives the same tensors either way.

Which code computes an operation is decided here, by `choice`, and nowhere else: who calls `norm_silu` gets a tensor on every device,
in every precision, with and without a C compiler.
"""
