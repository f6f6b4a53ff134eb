"""What is seen of a photograph, and what is done to its pixels."""
