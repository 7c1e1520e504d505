"""How the columns of a classifier may be stored: fewer bytes that decode to a matrix like it."""
