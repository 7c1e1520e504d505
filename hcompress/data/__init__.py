"""Labelled images: scene-text LMDB, label files and rendered text, behind one protocol."""
