"""Tokens for programs: an access token for an hour, and a refresh token for the next ones."""

from typing import Any

from rest_framework_simplejwt.exceptions import InvalidToken, TokenError
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.tokens import BlacklistMixin, RefreshToken
from rest_framework_simplejwt.utils import get_md5_hash_password

from accounts import demo
from accounts.authentication import number_in
from accounts.models import User

INVALID = "This refresh token cannot be used, or not any more. Log in again."


class Refresh(RefreshToken):
    """A refresh token. Only those that were given back are kept: whoever could read the database
    would have everybody's."""

    @classmethod
    def for_user(cls, user: Any) -> Any:
        return super(BlacklistMixin, cls).for_user(user)

    @classmethod
    def read(cls, text: Any) -> "Refresh":
        """The token that `text` is; InvalidToken if it is none, or one that was given back."""
        try:
            token = cls(text)
        # KeyError: signed by us, or by who shares our secret, but without an id.
        except (TokenError, KeyError) as error:
            raise InvalidToken(INVALID) from error
        if not number_in(token):
            raise InvalidToken(INVALID)
        return token

    def give_back(self) -> bool:
        """Ends it; False if that was done before, or is being done."""
        noted: Any = self.blacklist()
        return bool(noted[1])


def pair_for(user: User) -> dict[str, Any]:
    """New tokens of `user`, as the API gives them."""
    refresh = Refresh.for_user(user)
    return {
        "access_token": str(refresh.access_token),
        "token_type": "bearer",
        "refresh_token": str(refresh),
        "expires_in": int(api_settings.ACCESS_TOKEN_LIFETIME.total_seconds()),
    }


def exchange(text: str) -> dict[str, Any]:
    """New tokens for a refresh token, which ends by that; InvalidToken if there can be none."""
    token = Refresh.read(text)
    user = User.objects.filter(pk=number_in(token)).first()
    if not user or not may_go_on(user, token) or not token.give_back():
        raise InvalidToken(INVALID)
    return pair_for(user)


def may_go_on(user: User, token: Refresh) -> bool:
    """Whether `user` could log in still, and with the password that the token was given for."""
    password = get_md5_hash_password(user.password)
    is_current = token.get(api_settings.REVOKE_TOKEN_CLAIM) == password
    return user.is_active and is_current and demo.may_stay(user)


def give_back(text: str) -> None:
    """Ends a refresh token; what is none, or has ended, needs nothing."""
    try:
        Refresh.read(text).give_back()
    except InvalidToken:
        return
