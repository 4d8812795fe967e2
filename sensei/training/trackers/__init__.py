"""Where else metrics go: one file a service, and the record of what each has."""
