"""Models for browsers: a folder of static files, with our own JavaScript."""
