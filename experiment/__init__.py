"""A run: its command line, directory, checkpoints, loggers and record."""
