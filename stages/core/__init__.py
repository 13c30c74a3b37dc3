"""What every stage stands on: parameters, files, data in memory, the process, the machine."""
