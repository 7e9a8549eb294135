"""Statecast: the state of devices, from a queue to every browser.

The way of the data::

    queue -> source -> decode -> apply -> store (+ log) -> broadcast -> viewer (page)
          <- ack <--------------------------/
"""

__version__ = "0.1.0"
