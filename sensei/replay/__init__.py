"""Experience: episodes on disk (`episodes`) and the buffer that training samples from (`buffer`)."""
