"""The console's pages of tenants and users, and what all pages of the console have in common."""

from datetime import UTC, datetime
from typing import Any, cast

from django.contrib import admin
from django.contrib.admin import ShowFacets
from django.contrib.admin.models import CHANGE
from django.contrib.auth.admin import UserAdmin as AuthUserAdmin
from django.contrib.auth.forms import BaseUserCreationForm
from django.contrib.auth.models import Group
from django.contrib.auth.views import PasswordChangeView
from django.contrib.humanize.templatetags.humanize import naturaltime
from django.db import transaction
from django.db.models import Field, ForeignKey, Model, QuerySet
from django.forms import ModelChoiceField, ModelForm, TypedChoiceField, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from rest_framework_simplejwt.token_blacklist.admin import BlacklistedToken, OutstandingToken
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.forms import (
    AdminOwnPasswordChangeForm,
    AdminPasswordChangeForm,
    AuthenticationForm,
    UserChangeForm,
)
from unfold.widgets import UnfoldAdminPasswordWidget

from accounts.console import choose_language, switch_tenant
from accounts.history import record
from accounts.logins import WRONG, TooManyAttempts, log_in
from accounts.models import Role, Tenant, User
from accounts.roles import grantable_by

admin.site.unregister(Group)  # Rights come from roles.
# Nothing in there that a person could use.
admin.site.unregister([OutstandingToken, BlacklistedToken])

ROLE_COLOURS = {Role.VIEWER: "info", Role.OPERATOR: "success", Role.ADMIN: "warning"}


def person(request: HttpRequest) -> User:
    """Who asks. The site lets nobody in who is not logged in."""
    return cast(User, request.user)


def exact(value: datetime) -> str:
    """A time to the millisecond, in UTC."""
    return value.astimezone(UTC).isoformat(" ", "milliseconds").removesuffix("+00:00")


def moment(value: datetime | None) -> SafeString | str:
    """A time as people say it ("2 minutes ago"); hovering shows it exactly."""
    if value is None:
        return gettext("never")
    return format_html('<time title="{} UTC">{}</time>', exact(value), naturaltime(value))


def coloured(text: str | Promise, colour: str) -> SafeString:
    """A label; `colour` is one of Unfold's: info, success, warning, danger, or nothing."""
    return render_to_string("unfold/helpers/label.html", {"text": text, "type": colour})


class TenantScopedAdmin(ModelAdmin):
    """Pages that hold what the user may see, by the model's `visible_to`, and nothing else."""

    show_facets = ShowFacets.NEVER
    list_filter_submit = True
    list_per_page = 50
    staff_only: tuple[str, ...] = ("tenant",)
    """Columns, filters and fields that say nothing to a person who works in one tenant."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).visible_to(person(request))

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        # Django's title, which the browser's tabs show, says what to do there, and not what it is.
        title = {"title": capfirst(self.opts.verbose_name_plural)}
        return super().changelist_view(request, {**title, **(extra_context or {})})

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Model:
        found = super().get_object(request, object_id, from_field)
        if found is None:
            said = gettext("There is no {what} “{id}”.")
            raise Http404(said.format(what=self.opts.verbose_name, id=object_id))
        return found

    def formfield_for_foreignkey(
        self, db_field: ForeignKey, request: HttpRequest, **kwargs: Any
    ) -> ModelChoiceField | None:
        related: Any = db_field.remote_field.model
        kwargs["queryset"] = related.objects.visible_to(person(request))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: ModelForm, change: bool) -> None:
        if not change and not person(request).sees_all_tenants:
            obj.tenant_id = person(request).works_in_id
        # Of two people on the same page each writes what they changed and nothing else.
        obj.save(update_fields=form.changed_data if change else None)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        # PostgreSQL has no NUL in its texts and would raise an error.
        return "\0" not in value and super().lookup_allowed(lookup, value, request)

    def get_list_display(self, request: HttpRequest) -> list[str]:
        return self._without_staff_only(request, super().get_list_display(request))

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        return self._without_staff_only(request, super().get_list_filter(request))

    def get_fieldsets(self, request: HttpRequest, obj: Model | None = None) -> list[Any]:
        return [
            (title, {**options, "fields": self._without_staff_only(request, options["fields"])})
            for title, options in super().get_fieldsets(request, obj)
        ]

    def _without_staff_only(self, request: HttpRequest, names: Any) -> list[Any]:
        if person(request).sees_all_tenants:
            return list(names)
        # A filter may be given with its class: (name, class).
        plain = [name[0] if isinstance(name, tuple) else name for name in names]
        return [
            name for name, what in zip(names, plain, strict=True) if what not in self.staff_only
        ]


class LoginForm(AuthenticationForm):
    """The console's login, through the door that the API's goes through."""

    def clean(self) -> dict[str, Any]:
        email, password = self.cleaned_data.get("username"), self.cleaned_data.get("password")
        if email and password:
            try:
                self.user_cache = log_in(self.request, email, password)
            except TooManyAttempts as error:
                raise ValidationError(str(error.detail), "throttled") from error
            if not self.user_cache:
                raise ValidationError(WRONG, "invalid_login")
        return self.cleaned_data


admin.site.login_form = LoginForm


class OwnPasswordForm(AdminOwnPasswordChangeForm):
    """A new password of one's own, which the history has as it has those of others."""

    @transaction.atomic
    def save(self, commit: bool = True) -> User:
        user: User = super().save(commit)
        record(user, CHANGE, user, ["password"])
        return user


def change_own_password(
    request: HttpRequest, extra_context: dict[str, Any] | None = None
) -> HttpResponseBase:
    context = {**admin.site.each_context(request), **(extra_context or {})}
    page = PasswordChangeView.as_view(
        form_class=OwnPasswordForm,
        success_url=reverse("admin:password_change_done"),
        extra_context=context,
    )
    return page(request)


# Unfold's own names the form inside.
admin.site.password_change = change_own_password  # type: ignore[assignment, method-assign]


@admin.register(Tenant)
class TenantAdmin(TenantScopedAdmin):
    list_display = ["slug", "name", "retention_days", "work_in"]
    staff_only = ("work_in",)
    search_fields = ["slug", "name"]
    search_help_text = _("Slug or name")
    fields = ["slug", "name", "retention_days"]

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view(switch_tenant)
        return [path("switch/", page, name="accounts_tenant_switch"), *super().get_urls()]

    def get_readonly_fields(self, request: HttpRequest, obj: Tenant | None = None) -> list[str]:
        # What is kept of a tenant is agreed with who runs the platform.
        theirs = [] if person(request).is_superuser else ["retention_days"]
        return ["slug", *theirs] if obj else theirs

    @display(description="")
    def work_in(self, tenant: Tenant) -> SafeString:
        return render_to_string("accounts/work_in.html", {"tenant": tenant})

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[Any, ...]:
        # Optimization: Django reads all that there is in them.
        protected = [f"{tenant}: {what}" for tenant in objs for what in tenant.contents()]
        if protected:
            return [], {}, set(), protected
        return super().get_deleted_objects(objs, request)


class EmailForm(ModelForm):
    def clean_email(self) -> str:
        return User.objects.valid_email(self.cleaned_data["email"])


class ChangedUserForm(EmailForm, UserChangeForm):
    pass


class NewUserForm(EmailForm, BaseUserCreationForm):
    class Meta:
        model = User
        fields = ["email"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("password1", "password2"):
            self.fields[name].widget = UnfoldAdminPasswordWidget({"autocomplete": "new-password"})


@admin.register(User)
class UserAdmin(TenantScopedAdmin, AuthUserAdmin):  # type: ignore[misc]
    form = ChangedUserForm
    add_form = NewUserForm
    change_password_form = AdminPasswordChangeForm
    list_display = ["email", "tenant", "role_label", "is_superuser", "is_active", "last_login_ago"]
    list_filter = ["tenant", "role", "is_active"]
    list_select_related = ["tenant"]
    search_fields = ["email"]
    search_help_text = _("E-mail address")
    ordering = ["email"]
    filter_horizontal = ()
    readonly_fields = ["last_login", "created_at"]
    staff_only = ("tenant", "is_superuser")
    add_fieldsets = [
        (
            None,
            {"fields": ["email", "tenant", "role", "is_superuser", "password1", "password2"]},
        ),
    ]
    fieldsets = [
        (None, {"fields": ["email", "password"]}),
        (_("Rights"), {"fields": ["tenant", "role", "is_active", "is_superuser"]}),
        (_("Dates"), {"fields": ["last_login", "created_at"]}),
    ]

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view(choose_language)
        return [path("language/", page, name="accounts_user_language"), *super().get_urls()]

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> list[str]:
        # Nobody takes rights from themself, by which a tenant could be left without an admin.
        own = ["role", "is_active", "is_superuser"] if obj == person(request) else []
        return [*super().get_readonly_fields(request, obj), *own]

    @display(description=_("role"), ordering="role")
    def role_label(self, user: User) -> SafeString:
        return coloured(user.get_role_display(), ROLE_COLOURS[Role(user.role)])

    @display(description=_("last login"), ordering="last_login")
    def last_login_ago(self, user: User) -> str:
        return moment(user.last_login)

    def formfield_for_choice_field(
        self, db_field: Field, request: HttpRequest, **kwargs: Any
    ) -> TypedChoiceField | None:
        if db_field.name == "role":
            kwargs["choices"] = [(role, role.label) for role in grantable_by(person(request))]
        return super().formfield_for_choice_field(db_field, request, **kwargs)
