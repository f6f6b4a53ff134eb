"""Preparing ImageNet: from archives or a folder tree to a copy that is fast to read."""
