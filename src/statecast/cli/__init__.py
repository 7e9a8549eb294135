"""The command ``statecast``: one module for each subcommand.

::

    main.py            the command, and its exit status
    run.py send.py show.py watch.py quarantine.py doctor.py    the subcommands
    options.py         flags, from the table of settings
    store.py           opens the store for commands that only read or send
    errors.py          how a command ends: exit status and one sentence
    output.py          text made safe for a terminal
    message_parser.py  messages from arguments and standard input
    app_loader.py      the Flask app of ``statecast run module:name``
"""
