"""A study: what it says (`models`), where its files are (`layout`), what its stages are (`stages`) and cost (`cost`)."""
