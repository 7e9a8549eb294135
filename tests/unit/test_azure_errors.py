"""Each missing right has its own sentence, which names what would suffice for it alone."""

from __future__ import annotations

import pytest

from statecast.sources.azure_queue import errors

PROCESS = "the role Storage Queue Data Message Processor, or a SAS with the permission p (process)."


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (
            "receive from",
            PROCESS,
        ),
        (
            "delete from",
            PROCESS,
        ),
        (
            "send to",
            "the role Storage Queue Data Message Sender, or a SAS with the permission a (add).",
        ),
        (
            "look into",
            "the role Storage Queue Data Reader, or a SAS with the permission r (read).",
        ),
        (
            "release messages of",
            "the role Storage Queue Data Contributor, or a SAS with the permission u (update).",
        ),
        (
            "create",
            "the role Storage Queue Data Contributor, or a SAS with the permission c "
            "(create, of an account SAS). Or make it once, with: az storage queue create "
            "--name pillow",
        ),
    ],
)
def test_a_missing_right_is_named(action: str, expected: str) -> None:
    said = errors.error_response(
        403, "AuthorizationPermissionMismatch", "pillow", "x.example", action
    )
    assert said == (
        f"The credentials may not {action} the queue “pillow” "
        f"(403 AuthorizationPermissionMismatch): that needs {expected}"
    )
