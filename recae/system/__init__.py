"""The machine: files, memory, threads, forks and progress."""
