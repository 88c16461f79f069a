"""Accounts over the API: logging in, tokens, one's own account, users and tenants."""

from typing import Any, cast

from django.contrib.admin.models import ADDITION, CHANGE, DELETION
from django.contrib.auth.models import update_last_login
from django.db import transaction
from drf_spectacular.utils import (
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    extend_schema_view,
)
from rest_framework.exceptions import AuthenticationFailed, ValidationError
from rest_framework.generics import GenericAPIView, get_object_or_404
from rest_framework.mixins import (
    CreateModelMixin,
    DestroyModelMixin,
    ListModelMixin,
    RetrieveModelMixin,
    UpdateModelMixin,
)
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.serializers import BaseSerializer
from rest_framework.status import HTTP_204_NO_CONTENT
from rest_framework.viewsets import GenericViewSet

from accounts import serializers, tokens
from accounts.conflicts import Conflict, conflicts
from accounts.filters import UserFilters
from accounts.history import record, save_and_record
from accounts.logins import WRONG, log_in
from accounts.models import SLUG_PATTERN, Tenant, TenantQuerySet, User, UserQuerySet
from accounts.rest import person

USER_ID = OpenApiParameter("id", int, OpenApiParameter.PATH)
EMAIL_TAKEN = "There is a user with this e-mail address already."
SLUG_TAKEN = "There is a tenant with this slug already."
IN_USE = (
    "The tenant has {} still. Delete these, or move users to another tenant; “maintain” erases "
    "deleted devices an hour later, and rejected messages after REJECTED_DAYS."
)


class Door(GenericAPIView):
    """An endpoint for people who have no token, or an old one: none is looked at."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    def get_authenticate_header(self, request: Request) -> str:
        # What makes an AuthenticationFailed a 401 where nothing authenticates.
        return 'Bearer realm="api"'

    def valid(self, request: Request) -> dict[str, Any]:
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        return cast(dict[str, Any], serializer.validated_data)


def secret(pair: dict[str, Any]) -> Response:
    """An answer with tokens, for nobody to keep but who asked."""
    return Response(pair, headers={"Cache-Control": "no-store"})


class LoginView(Door):
    serializer_class = serializers.LoginSerializer

    @extend_schema(
        operation_id="auth_login",
        summary="Log in",
        description="Too many failures are 429 for some minutes, and too many at once for a "
        "second, with `Retry-After`.",
        responses=serializers.TokensSerializer,
        auth=[],
    )
    def post(self, request: Request) -> Response:
        given = self.valid(request)
        user = log_in(request._request, given["email"], given["password"])
        if not user:
            raise AuthenticationFailed(WRONG, "wrong_credentials")
        update_last_login(User, user)
        return secret(tokens.pair_for(user))


class RefreshView(Door):
    serializer_class = serializers.RefreshSerializer

    @extend_schema(
        operation_id="auth_refresh",
        summary="Exchange a refresh token for new tokens",
        description="A refresh token is good for once. A new password ends all of a person's.",
        responses=serializers.TokensSerializer,
        auth=[],
    )
    def post(self, request: Request) -> Response:
        return secret(tokens.exchange(self.valid(request)["refresh_token"]))


class LogoutView(Door):
    serializer_class = serializers.RefreshSerializer

    @extend_schema(
        operation_id="auth_logout",
        summary="Log out",
        description="Ends the refresh token, and needs no other: an app may come back after the "
        "access token ran out. What has ended, or was never good, is answered in the same way. "
        "An access token goes on until it runs out: forget it.",
        responses={204: OpenApiResponse(description="It is of no use any more.")},
        auth=[],
    )
    def post(self, request: Request) -> Response:
        tokens.give_back(self.valid(request)["refresh_token"])
        return Response(status=HTTP_204_NO_CONTENT)


class MeView(GenericAPIView):
    permission_classes = (IsAuthenticated,)
    serializer_class = serializers.MeSerializer

    @extend_schema(operation_id="auth_me", summary="Who am I, and what may I do?")
    def get(self, request: Request) -> Response:
        return Response(self.get_serializer(person(request)).data)


class PasswordView(GenericAPIView):
    permission_classes = (IsAuthenticated,)
    serializer_class = serializers.NewPasswordSerializer

    @extend_schema(
        operation_id="auth_password",
        summary="Change one's own password",
        description="Ends every token and session of the person; the answer has new tokens. A "
        "wrong current password counts as a failed login.",
        responses=serializers.TokensSerializer,
    )
    def post(self, request: Request) -> Response:
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        given = serializer.validated_data
        user = log_in(request._request, person(request).email, given["current_password"])
        if not user:
            raise ValidationError({"current_password": "This is not your password."})
        with transaction.atomic():
            user.set_password(given["new_password"])
            user.save(update_fields=["password"])
            record(user, CHANGE, user, ["password"])
        return secret(tokens.pair_for(user))


@extend_schema_view(
    list=extend_schema(summary="List users", description="In the order of their e-mail addresses."),
    create=extend_schema(
        summary="Create a user",
        description="The role is at most one's own. An e-mail address that is taken is 409.",
    ),
    retrieve=extend_schema(summary="Show a user", parameters=[USER_ID]),
    partial_update=extend_schema(
        summary="Change a user",
        parameters=[USER_ID],
        description="Send what is to change. A new password ends the person's tokens and sessions "
        "for good. `is_active: false` shuts them out at once and for as long as it holds: tokens "
        "and sessions that have not run out work again after `is_active: true`, unless the "
        "password was changed as well. What was changed is in the console's history.",
    ),
)
class UserViewSet(
    ListModelMixin, CreateModelMixin, RetrieveModelMixin, UpdateModelMixin, GenericViewSet
):
    """The people that the user may see."""

    queryset = User.objects.all()
    serializer_class = serializers.UserSerializer
    filterset_class = UserFilters
    lookup_value_regex = "[0-9]{1,18}"
    http_method_names = ["get", "post", "patch", "head", "options"]

    def get_queryset(self) -> UserQuerySet:
        users: UserQuerySet = User.objects.visible_to(person(self.request))
        return users.select_related("tenant").order_by("email")

    def perform_create(self, serializer: BaseSerializer) -> None:
        with conflicts(EMAIL_TAKEN):
            record(person(self.request), ADDITION, serializer.save())

    def get_success_headers(self, data: Any) -> dict[str, str]:
        return {"Location": reverse("user-detail", [data["id"]], request=self.request)}

    def perform_update(self, serializer: BaseSerializer) -> None:
        with conflicts(EMAIL_TAKEN):
            save_and_record(person(self.request), serializer)


@extend_schema_view(
    list=extend_schema(summary="List tenants"),
    create=extend_schema(
        summary="Create a tenant",
        description="For platform staff. A slug that is taken is 409.",
    ),
    retrieve=extend_schema(summary="Show a tenant"),
    partial_update=extend_schema(
        summary="Rename a tenant", description="The slug never changes: topics begin with it."
    ),
    destroy=extend_schema(
        summary="Delete a tenant",
        description="For platform staff. With anything still in it, 409, which says what.",
    ),
)
class TenantViewSet(
    ListModelMixin,
    CreateModelMixin,
    RetrieveModelMixin,
    UpdateModelMixin,
    DestroyModelMixin,
    GenericViewSet,
):
    """The tenants that the user may see."""

    queryset = Tenant.objects.all()
    serializer_class = serializers.TenantSerializer
    lookup_field = "slug"
    lookup_value_regex = SLUG_PATTERN
    http_method_names = ["get", "post", "patch", "delete", "head", "options"]

    def get_queryset(self) -> TenantQuerySet:
        return Tenant.objects.visible_to(person(self.request)).order_by("slug")

    def perform_create(self, serializer: BaseSerializer) -> None:
        with conflicts(SLUG_TAKEN):
            record(person(self.request), ADDITION, serializer.save())

    def get_success_headers(self, data: Any) -> dict[str, str]:
        return {"Location": reverse("tenant-detail", [data["slug"]], request=self.request)}

    def perform_update(self, serializer: BaseSerializer) -> None:
        with transaction.atomic():
            save_and_record(person(self.request), serializer)

    def perform_destroy(self, instance: Tenant) -> None:
        with transaction.atomic():
            # Nobody may put anything into it meanwhile.
            tenant = get_object_or_404(self.get_queryset().select_for_update(), pk=instance.pk)
            if contents := tenant.contents():
                raise Conflict(IN_USE.format(" and ".join(contents)))
            record(person(self.request), DELETION, tenant)
            tenant.delete()
