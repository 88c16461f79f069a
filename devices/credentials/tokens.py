"""Random secrets, and what is kept of them."""

import hmac
import secrets
from collections.abc import Iterable
from hashlib import sha256

TOKEN_BYTES = 32
NO_DIGEST = bytes(32)
"""Of no token; stands for that of somebody unknown, so that both are the same work."""


def new_token() -> str:
    """256 random bits as 64 characters; nothing in them needs to be quoted anywhere."""
    return secrets.token_hex(TOKEN_BYTES)


def digest_of(token: str) -> bytes:
    """What is kept of `token`. No slow hash: nobody can guess 256 bits, however fast they try."""
    return sha256(token.encode(errors="surrogatepass")).digest()


def matching(token: str, digests: Iterable[bytes]) -> int | None:
    """The place of the digest that is of `token`; every one is compared, in constant time."""
    given = digest_of(token)
    found = None
    for place, digest in enumerate(digests):
        if hmac.compare_digest(given, digest):
            found = place
    return found
