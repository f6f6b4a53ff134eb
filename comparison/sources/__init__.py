"""Where runs are read from: run directories, offline W&B files, a W&B server, CSV files of other tools."""
