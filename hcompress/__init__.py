"""hcompress: makes text recognisers with huge character sets small and fast (Hamming OCR)."""

__version__ = "0.1.0"
