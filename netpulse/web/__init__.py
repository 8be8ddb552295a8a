"""Everything that speaks HTTP: the API under /v1, the pages, and what guards both."""
