"""Serves a recogniser over HTTP. Needs the extra `serve`; importing this loads nothing of it."""
