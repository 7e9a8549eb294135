"""The servers to be measured, each in a process of its own, with the same commands.

A peer prints ``{"port": N}`` when it accepts connections, then reads one command per line.
``{"do": "emit", "rounds": N, "data": ...}`` sends the event ``states`` N times to all viewers; the
event loop runs in between, like in an application. The peer ends with its standard input.
"""
