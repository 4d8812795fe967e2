"""What every room stands on: errors, files, random streams, progress, processes, devices, provenance."""
