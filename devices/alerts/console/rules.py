"""The console's pages of alert rules: made, changed, tried out."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST
from unfold.contrib.filters.admin import BooleanRadioFilter, RelatedDropdownFilter
from unfold.decorators import display

from accounts.admin import person
from accounts.words import in_language
from devices.alerts import rules
from devices.alerts.console.forms import AlertRuleForm
from devices.alerts.console.shown import obstacle, obstacle_of, rows_of
from devices.alerts.rules import TooManyTests
from devices.commands.console.shown import link, once, page_of
from devices.console.tenants import OwnTenantAdmin
from devices.models import Alert, AlertRule

NOTICES_SHOWN = 20
NO_ADDRESS = _("The rule has no address to send a test to. Add one first.")
NO_WEBHOOK = _("The rule has no webhook. Add one first.")
DELIVERED = _("{target}: delivered.")
NOT_DELIVERED = _("{target}: {error}")


class AlertRuleAdmin(OwnTenantAdmin):
    form = AlertRuleForm
    list_display = ["name", "tenant", "devices", "what", "told", "open_now", "is_enabled"]
    list_filter = [
        ("is_enabled", BooleanRadioFilter),
        ("type", RelatedDropdownFilter),
        ("tenant", RelatedDropdownFilter),
    ]
    list_select_related = ["tenant", "type"]
    search_fields = ["name"]
    search_help_text = _("Name of a rule")
    ordering = ["name", "id"]
    actions = None
    change_form_outer_before_template = "admin/devices/alertrule/buttons.html"
    list_before_template = "admin/devices/alert/obstacle.html"
    add_fieldsets = [
        (
            None,
            {"fields": ["name", "tenant", "type", "condition", "after_minutes", "is_enabled"]},
        ),
        (_("Whom to tell"), {"fields": ["emails", "webhook_url"]}),
    ]
    fieldsets = [*add_fieldsets, (_("What was told"), {"fields": ["notices"]})]

    def get_urls(self) -> list[URLPattern]:
        site = self.admin_site.admin_view
        below = "<path:object_id>/"
        return [
            path(f"{below}test/", site(self.test_view), name="devices_alertrule_test"),
            path(f"{below}secret/", site(self.secret_view), name="devices_alertrule_secret"),
            *super().get_urls(),
        ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        # By “alert_open_once”, rule by rule: of those that are over there may be many.
        mine = Alert.objects.open().filter(rule=OuterRef("pk"), device__deleted_at=None)
        counted = mine.order_by().values("rule").annotate(count=Count("pk")).values("count")
        shown = super().get_queryset(request)
        return shown.annotate(open_count=Coalesce(Subquery(counted), 0))

    def get_list_display(self, request: HttpRequest) -> Any:
        shown = [*super().get_list_display(request)]
        hidden = [] if self.has_change_permission(request) else ["told"]
        return [name for name in shown if name not in hidden]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        terms, addresses, *others = super().get_fieldsets(request, obj)
        # An address may be a secret: who knows a chat's webhook writes there.
        may_see = [addresses] if obj is None or self.has_change_permission(request, obj) else []
        return [terms, *may_see, *others]

    def get_readonly_fields(self, request: HttpRequest, obj: AlertRule | None = None) -> list[str]:
        return ["tenant", "notices"] if obj else []

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return super().changelist_view(request, {**(extra_context or {}), "obstacle": obstacle()})

    def get_object(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        rule: Any = super().get_object(request, *args, **kwargs)
        rule.obstacle = obstacle_of(rule)
        rule.shows_addresses = self.has_change_permission(request)
        return rule

    def save_model(self, request: HttpRequest, obj: Any, form: ModelForm, change: bool) -> None:
        if not change and not person(request).sees_all_tenants:
            obj.tenant_id = person(request).works_in_id
        obj.new_secret = rules.save(obj, form.changed_data if change else ())

    def delete_model(self, request: HttpRequest, obj: AlertRule) -> None:
        rules.delete([obj])

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[list, dict, set, list]:
        """What the page of confirmation says, which does not list all alerts of a rule."""
        text = gettext("{rule}: its alerts and what was told of them go with it")
        what = [text.format(rule=rule) for rule in objs]
        return what, {self.opts.verbose_name_plural: len(what)}, set(), []

    def response_add(self, request: HttpRequest, obj: Any, *args: Any, **kw: Any) -> HttpResponse:
        said = super().response_add(request, obj, *args, **kw)
        return self._secret_shown(request, obj, obj.new_secret) if obj.new_secret else said

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        said = super().response_change(request, obj)
        return self._secret_shown(request, obj, obj.new_secret) if obj.new_secret else said

    def secret_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Asks whether the webhook shall have a new secret, and shows it."""
        rule = self._changeable(request, object_id)
        if not rule.webhook_url:
            messages.error(request, str(NO_WEBHOOK))
            return redirect(page_of(rule))
        secret = ""
        if request.method == "POST":
            with transaction.atomic():
                secret = rules.renew_secret(rule)
                self.log_change(request, rule, [{"changed": {"fields": ["webhook_secret"]}}])
        return self._secret_shown(request, rule, secret)

    @method_decorator(require_POST)
    def test_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Sends a test to each address, and says what became of it: what is the same, once."""
        rule = self._changeable(request, object_id)
        try:
            sent = rules.test(rule)
        except TooManyTests as refusal:
            messages.error(request, str(refusal))
            return redirect(page_of(rule))
        targets: dict[str, list[str]] = {}
        for each in sent:
            targets.setdefault(each.error, []).append(each.claim.target)
        for fault, those in targets.items():
            said = {"target": ", ".join(sorted(those)), "error": in_language(fault)}
            if fault:
                messages.error(request, str(NOT_DELIVERED).format(**said))
            else:
                messages.success(request, str(DELIVERED).format(**said))
        if not sent:
            messages.error(request, str(NO_ADDRESS))
        return redirect(page_of(rule))

    def _changeable(self, request: HttpRequest, object_id: str) -> AlertRule:
        if not self.has_change_permission(request):
            raise PermissionDenied
        rule: AlertRule = self.get_object(request, object_id)
        return rule

    def _secret_shown(self, request: HttpRequest, rule: AlertRule, secret: str) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Secret of the webhook"),
            "opts": self.opts,
            "rule": rule,
            "page": page_of(rule),
            "secret": secret,
        }
        answer = TemplateResponse(request, "admin/devices/alertrule/secret.html", context)
        answer["Cache-Control"] = "no-store"
        return answer

    @display(description=_("devices"), ordering="type")
    def devices(self, rule: AlertRule) -> SafeString | str:
        return link(rule.type) if rule.type else gettext("All")

    @display(description=_("raised when"))
    def what(self, rule: AlertRule) -> str:
        text = gettext("{condition} for longer than {minutes} min")
        return text.format(condition=rule.get_condition_display(), minutes=rule.after_minutes)

    @display(description=_("told"))
    def told(self, rule: AlertRule) -> str | None:
        webhook = [gettext("Webhook")] if rule.webhook_url else []
        return ", ".join([*rule.emails, *webhook]) or None

    @display(description=_("open alerts"), ordering="open_count")
    def open_now(self, rule: Any) -> SafeString | int:
        if not rule.open_count:
            return 0
        alerts = reverse("admin:devices_alert_changelist")
        return render_to_string(
            "admin/devices/alertrule/open.html",
            {"count": rule.open_count, "page": f"{alerts}?state=open&rule__id__exact={rule.pk}"},
        )

    @display(description=_("newest notices"))
    def notices(self, rule: Any) -> SafeString:
        newest = once(rule, "newest_notices", rule.notices.all()[:NOTICES_SHOWN])
        rows = rows_of(newest, whole=rule.shows_addresses)
        return render_to_string("admin/devices/alert/notices.html", {"rows": rows})
