"""Public status pages: what is kept of them, by which Host they are reached, what strangers get."""
