"""The example of docs/alerts.md recognises what the platform sends."""

import re
import time
from pathlib import Path

from devices.alerts.webhook import new_secret, signature_of

PAGE = Path(__file__).resolve().parents[3] / "docs" / "alerts.md"


def test_the_example_tells_a_genuine_message_from_others():
    names: dict = {}
    exec(re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[1], names)
    is_genuine, now, body = names["is_genuine"], int(time.time()), b'{"type": "alert.test"}'
    secrets = new_secret(), new_secret()

    def headers(at: int) -> dict[str, str]:
        both = " ".join(signature_of(secret, "id", at, body) for secret in secrets)
        return {"webhook-id": "id", "webhook-timestamp": str(at), "webhook-signature": both}

    assert all(is_genuine(secret, headers(now), body) for secret in secrets)
    assert not is_genuine(new_secret(), headers(now), body)
    assert not is_genuine(secrets[0], headers(now), body + b" ")
    assert not is_genuine(secrets[0], headers(now - 600), body)
