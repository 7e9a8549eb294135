"""The subcommands of ``statecast``, one module each.

::

    endings.py     how a command ends: exit status, one sentence on stderr, never a traceback
    options.py     flags from the one table of settings
    opening.py     the store for commands that only read or send
    terminal.py    what devices say, made safe to print
    run.py send.py look.py watch.py quarantine.py doctor.py    the commands
"""
