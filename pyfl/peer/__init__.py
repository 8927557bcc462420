"""A peer as a program: settings, the process around a driver, its journal and its state as others may see it."""
