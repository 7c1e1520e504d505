"""Lines read, counted and compared."""
