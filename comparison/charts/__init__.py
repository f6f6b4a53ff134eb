"""Figures of the comparison page, a file for each question that one answers."""
