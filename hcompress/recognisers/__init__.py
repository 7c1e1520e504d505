"""Recognisers: image to decision features to ids, behind one contract."""
