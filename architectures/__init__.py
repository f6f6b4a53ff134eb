"""What networks are made of: `python -m comparison architectures`."""
