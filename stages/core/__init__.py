"""What every stage relies on: parameters, files, data in memory, processes and the machine."""
