"""Models for browsers: a folder of static files, with our own JavaScript."""

from m2v_core.web.export import export_web

__all__ = ["export_web"]
