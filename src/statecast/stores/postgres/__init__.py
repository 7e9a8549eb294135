"""The store of many hosts: a schema in a PostgreSQL database.

The driver is a package of its own, so nothing here is imported unless a URL names it.
"""
