"""What networks are made of: `python -m architectures`."""
