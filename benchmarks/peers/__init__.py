"""The servers that are measured, ours among them; each in a process of its own, with the same conversation.

A peer says ``{"port": N}`` once it accepts connections, then takes one command per line: ``{"do": "emit", "rounds": N,
"data": ...}`` sends the event ``states`` to all its viewers, N times, and lets its loop turn in between, as an
application would. It ends when its standard input ends.
"""
