"""Many callers at once: threads, processes, coroutines, and programs that share a folder or a cache."""
