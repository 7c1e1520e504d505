"""Recognisers on disk, and what a file of ours says."""
