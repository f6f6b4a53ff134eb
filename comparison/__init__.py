"""Comparison of trained runs: reads run directories, prints a table and writes one self-contained HTML page."""
