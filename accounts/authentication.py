"""Who a request of the API is from: the person of its access token."""

import time
from functools import lru_cache
from typing import Any

from django.db import connection, models
from rest_framework.exceptions import AuthenticationFailed
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.tokens import Token
from rest_framework_simplejwt.utils import get_md5_hash_password

from accounts import demo
from accounts.models import User

# Without the dates: nobody asks for them, and to read them takes as long as all the rest.
FIELDS = [
    field.attname
    for field in User._meta.concrete_fields
    if not isinstance(field, models.DateTimeField)
]
PERSON = f"SELECT {', '.join(FIELDS)} FROM {User._meta.db_table} WHERE id = %s AND is_active"


class TokenAuthentication(JWTAuthentication):
    """Takes tokens of people who are active and have not changed their password since.

    Optimization: it is asked for every request, and a queryset costs three times the query.
    """

    def get_validated_token(self, raw_token: bytes) -> Token:
        token = validated(raw_token)
        # One that has run out since is read again, to be refused.
        return token if token["exp"] > time.time() else super().get_validated_token(raw_token)

    def get_user(self, validated_token: Token) -> Any:
        with connection.cursor() as cursor:
            cursor.execute(PERSON, [number_in(validated_token)])
            row = cursor.fetchone()
        user = User.from_db(connection.alias, FIELDS, row) if row else None
        if not user or not demo.may_stay(user):
            raise AuthenticationFailed("There is no active user of this token.", "user_inactive")
        password = get_md5_hash_password(user.password)
        if validated_token.get(api_settings.REVOKE_TOKEN_CLAIM) != password:
            raise AuthenticationFailed(
                "The password was changed since. Log in again.", "password_changed"
            )
        return user


@lru_cache(maxsize=1024)
def validated(raw_token: bytes) -> Token:
    """The token, if it is one of ours. Optimization: an app sends the same one for an hour."""
    return JWTAuthentication().get_validated_token(raw_token)


def number_in(token: Token) -> int:
    """The user's number; 0, which nobody has, where the token says something else."""
    subject = str(token.get(api_settings.USER_ID_CLAIM, ""))
    return int(subject) if subject.isascii() and subject.isdigit() and len(subject) < 19 else 0
