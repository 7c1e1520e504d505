"""Training: the loop, what goes through it, and the recognisers that come out."""
