"""EMU: codes learnt together with what meets them. For training alone; a Hamming head comes out."""
