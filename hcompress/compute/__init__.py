"""Devices, threads, processes and locks: what the machine gives."""
