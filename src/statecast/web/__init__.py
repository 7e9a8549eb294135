"""7 page: the HTTP limits, Flask on threads, the pages, REST, and what browsers get."""
