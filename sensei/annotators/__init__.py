"""From episodes to preference labels: pairs, annotators, raw replies, agreement."""
