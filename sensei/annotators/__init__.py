"""Who says which of two pictures is more interesting: oracles, CLIP, vision-language models, labels from files; their raw replies."""
