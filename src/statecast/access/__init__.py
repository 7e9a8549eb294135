"""Who may do what: one decision that every way in asks.

    actions.py    what a route or an event needs
    patterns.py   which devices two sets of patterns have in common
    grants.py     a value: which actions on which devices
    roles.py      grants that need no table
    identity.py   who a request is of
    records.py    users, keys, share links and sessions, as the store keeps them

Rule 1: nothing is allowed that no grant names.
Rule 2: rights to read are a value, so that viewers with the same rights share their messages.
"""
