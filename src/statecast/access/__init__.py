"""Who may do what: one decision that every way in asks.

    actions.py         what a route or an event needs
    patterns.py        which devices two sets of patterns have in common
    grants.py          a value: which actions on which devices
    roles.py           grants that need no table
    rights_table.py    grants by user, group, role and key, from the settings
    credentials.py     what a request brought to say who it is of
    secret_tokens.py   keys, share links and session cookies, and their digests
    identity.py        who a request is of
    records.py         users, keys, share links and sessions, as the store keeps them
    token_rules.py     what the settings say of signed tokens
    token_verifier.py  what checks signed tokens, loaded where it is asked for
    signed_tokens.py   who a signed token is of
    key_set.py         the public keys of an identity provider
    policy.py          the decision

Rule 1: nothing is allowed that no grant names.
Rule 2: rights to read are a value, so that viewers with the same rights share their messages.
"""
