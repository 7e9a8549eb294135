"""What the Makefile does: standard library only, because nothing is installed yet when it runs."""
