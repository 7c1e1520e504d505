"""An artifact: a finished folder, its manifest, and how it comes to be complete."""
