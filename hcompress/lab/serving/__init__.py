"""Puts load on a service: `python -m hcompress.lab.serving`. docs/serving.md has figures."""
