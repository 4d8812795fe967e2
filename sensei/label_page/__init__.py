"""The page on which a person answers the questions of a study, served to this machine alone."""
