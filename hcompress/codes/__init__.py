"""Codebooks: made from a teacher, repaired, extended, described."""
