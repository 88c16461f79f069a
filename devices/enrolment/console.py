"""The console's pages of enrolment keys: made, shown once, changed, revoked."""

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.generic import FormView, TemplateView
from unfold.contrib.filters.admin import RadioFilter, RelatedDropdownFilter
from unfold.decorators import display
from unfold.views import UnfoldModelAdminViewMixin
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from accounts.admin import TenantScopedAdmin, coloured, moment, person
from accounts.models import User
from accounts.words import number
from devices.commands.console.shown import page_of, when
from devices.enrolment.keys import (
    FEWER_THAN_CAME,
    IN_THE_PAST,
    KeyState,
    in_state,
    make,
    revoke,
    state_of,
)
from devices.models import Device, DeviceType, Enrolment, EnrolmentKey

COLOURS = {
    KeyState.USABLE: "success",
    KeyState.USED_UP: "info",
    KeyState.EXPIRED: "warning",
    KeyState.REVOKED: "danger",
}
DAYS, LONGEST_DAYS = 30, 3650
DEVICES_SHOWN = 100
OTHER_TENANT = _("Choose a type of the key's tenant, or a shared one.")
OFF = _("Devices do not enrol here yet: ENROLMENT is not set to 1.")
REVOKED = _("Revoked. No device enrols with “{key}” any more.")


class NewKeyForm(forms.ModelForm):
    """A key to be made. `user` is who makes it: of their tenant, or of any if they are staff."""

    days = forms.IntegerField(
        label=_("Expires after"),
        min_value=1,
        max_value=LONGEST_DAYS,
        initial=DAYS,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=_("Days. As long as devices are flashed with it, or are to be flashed anew."),
    )

    class Meta:
        model = EnrolmentKey
        fields = ["name", "tenant", "type", "quota"]
        widgets = {
            "name": UnfoldAdminTextInputWidget,
            "tenant": UnfoldAdminSelectWidget,
            "type": UnfoldAdminSelectWidget,
            "quota": UnfoldAdminIntegerFieldWidget,
        }

    def __init__(self, user: User, **options: Any) -> None:
        super().__init__(**options)
        types: Any = self.fields["type"]
        types.queryset = DeviceType.objects.visible_to(user).select_related("tenant")
        types.empty_label = _("No type")
        self.own_tenant = user.works_in
        if self.own_tenant:
            del self.fields["tenant"]
        else:
            types.label_from_instance = lambda kind: f"{kind} ({kind.tenant or gettext('shared')})"

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = self.cleaned_data
        tenant, kind = given.get("tenant", self.own_tenant), given.get("type")
        if tenant and kind and kind.tenant_id not in (None, tenant.pk):
            self.add_error("type", OTHER_TENANT)
        return {**given, "tenant": tenant}

    def wanted(self) -> dict[str, Any]:
        """What `make` wants to know."""
        given = dict(self.cleaned_data)
        life = timedelta(days=given.pop("days"))
        return {**given, "expires_at": timezone.now() + life}


class AddPage(UnfoldModelAdminViewMixin, FormView):
    """A form, whose answer is the key: on that page and nowhere else."""

    title = _("Add enrolment key")
    template_name = "admin/devices/enrolmentkey/add.html"
    permission_required = "devices.add_enrolmentkey"
    form_class = NewKeyForm

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "user": person(self.request)}

    def form_valid(self, form: NewKeyForm) -> HttpResponse:
        made = make(person(self.request), **form.wanted())
        shown = {"form": form, "made": made, "page": page_of(made.key)}
        return self.render_to_response(self.get_context_data(**shown))

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        address = self.request.build_absolute_uri("/enroll")
        return {
            **super().get_context_data(**context),
            "opts": self.model_admin.opts,
            "address": address,
            "obstacle": "" if settings.ENROLMENT else OFF,
        }


class RevokePage(UnfoldModelAdminViewMixin, TemplateView):
    """Asks whether a key shall be revoked, and does it."""

    title = _("Revoke enrolment key")
    template_name = "admin/devices/enrolmentkey/revoke.html"
    permission_required = "devices.change_enrolmentkey"
    key: EnrolmentKey

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if self.has_permission():
            self.key = self.model_admin.get_object(request, kwargs["object_id"])
        return super().dispatch(request, *args, **kwargs)

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        revoke(self.key, person(request))
        messages.success(request, REVOKED.format(key=self.key))
        return redirect(page_of(self.key))

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        return {
            **super().get_context_data(**context),
            "opts": self.model_admin.opts,
            "key": self.key,
            "page": page_of(self.key),
        }


class KeyForm(forms.ModelForm):
    """What may change of a key."""

    def clean_quota(self) -> int:
        # As it is now: devices enrol meanwhile.
        uses = EnrolmentKey.objects.values_list("uses", flat=True).get(pk=self.instance.pk)
        if self.cleaned_data["quota"] < uses:
            raise ValidationError(FEWER_THAN_CAME.format(uses=uses))
        return int(self.cleaned_data["quota"])

    def clean_expires_at(self) -> datetime:
        at: datetime = self.cleaned_data["expires_at"]
        if "expires_at" in self.changed_data and at <= timezone.now():
            raise ValidationError(IN_THE_PAST)
        return at


class StateFilter(RadioFilter):
    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return KeyState.choices

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() not in KeyState.values:
            return queryset
        return in_state(queryset, KeyState(self.value()))


class EnrolmentKeyAdmin(TenantScopedAdmin):
    form = KeyForm
    list_display = ["name", "tenant", "type", "state", "came", "expires", "created"]
    list_filter = [StateFilter, ("tenant", RelatedDropdownFilter)]
    list_select_related = ["tenant", "type"]
    search_fields = ["name"]
    ordering = ["-id"]
    change_form_outer_before_template = "admin/devices/enrolmentkey/buttons.html"
    readonly_fields = ["tenant", "type", "state", "came", "devices", "made", "revoked"]
    fieldsets = [
        (None, {"fields": ["state", "name", "tenant", "type", "quota", "expires_at"]}),
        (_("Devices"), {"fields": ["came", "devices"]}),
        (_("Dates"), {"fields": ["made", "revoked"]}),
    ]

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view(RevokePage.as_view(model_admin=self))
        name = "devices_enrolmentkey_revoke"
        return [path("<path:object_id>/revoke/", page, name=name), *super().get_urls()]

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return AddPage.as_view(model_admin=self)(request)

    def get_readonly_fields(self, request: HttpRequest, obj: EnrolmentKey | None = None) -> Any:
        fixed = super().get_readonly_fields(request, obj)
        # It is good for nothing, whatever they say.
        return [*fixed, "quota", "expires_at"] if obj and obj.revoked_at else fixed

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().changeform_view(request, *args, **kwargs)
        except IntegrityError:
            # More devices enrolled after the form was checked. Now its checks see that.
            return super().changeform_view(request, *args, **kwargs)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[list, dict, set, list]:
        """What the page of confirmation says, which does not list all devices of a key."""
        said = gettext("{key}: its devices stay, and cannot enrol with it any more")
        what = [said.format(key=key) for key in objs]
        return what, {self.opts.verbose_name_plural: len(what)}, set(), []

    @display(description=_("state"))
    def state(self, key: EnrolmentKey) -> SafeString:
        state = state_of(key)
        return coloured(state.label, COLOURS[state])

    @display(description=_("enrolled"), ordering="uses")
    def came(self, key: EnrolmentKey) -> str:
        said = gettext("{count} of {total}")
        return said.format(count=number(key.uses), total=number(key.quota))

    @display(description=_("expires"), ordering="expires_at")
    def expires(self, key: EnrolmentKey) -> str:
        return moment(key.expires_at)

    @display(description=_("made"), ordering="id")
    def created(self, key: EnrolmentKey) -> str:
        return moment(key.created_at)

    @display(description=_("made"))
    def made(self, key: EnrolmentKey) -> str:
        at = when(key.created_at)
        if not key.created_by:
            return str(at)
        return gettext("{time}, by {person}").format(time=at, person=key.created_by)

    @display(description=_("revoked"))
    def revoked(self, key: EnrolmentKey) -> str | None:
        return when(key.revoked_at)

    @display(description=_("newest"))
    def devices(self, key: EnrolmentKey) -> SafeString:
        there = Device.objects.filter(tenant=key.tenant_id, deleted_at__isnull=True)
        enrolments = Enrolment.objects.filter(key=key, device__in=there).select_related("device")
        newest = list(enrolments.order_by("-first_at", "-device_id")[: DEVICES_SHOWN + 1])
        rows = [
            (each, page_of(each.device), moment(each.first_at), moment(each.last_at))
            for each in newest[:DEVICES_SHOWN]
        ]
        is_cut = len(newest) > DEVICES_SHOWN
        return render_to_string(
            "admin/devices/enrolmentkey/devices.html", {"rows": rows, "is_cut": is_cut}
        )
