"""What holds for every test."""

from hypothesis import settings

# A busy machine is no fault of the code's: what takes too long is stopped by pytest-timeout.
settings.register_profile("hcompress", deadline=None)
settings.load_profile("hcompress")
