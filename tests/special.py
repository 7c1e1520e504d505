"""The special ids of the paper's decoder, by the names that tests call them."""

from hcompress.spec.transcription import AUTOREGRESSIVE

PAD, BOS, EOS = 0, 1, 2
SPECIALS = len(AUTOREGRESSIVE.specials)
FIRST_READABLE = AUTOREGRESSIVE.first_answer
