"""Stand-ins and toys that several tests share."""
