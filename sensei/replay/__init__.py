"""Experience: episodes on disk (`store`) and the buffer that training samples from (`buffer`)."""
