"""The console's pages to import and export devices."""

from codecs import BOM_UTF8
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.auth.mixins import PermissionRequiredMixin
from django.core.files import File
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.generic import FormView, View
from rest_framework.exceptions import APIException
from rest_framework.settings import api_settings
from unfold.views import UnfoldModelAdminViewMixin
from unfold.widgets import UnfoldAdminFileFieldWidget

from accounts.admin import person
from accounts.files import TooOldProtocol
from accounts.words import number
from devices.bulk.files import COLUMNS, LARGEST_FILE, Row
from devices.bulk.report import Outcome, Report
from devices.bulk.upsert import import_devices
from devices.bulk.views import CSVParser, file_of, rows_in

ROWS_SHOWN = 200
LONGEST_START = 100
COLOURS = {Outcome.ERROR: "danger", Outcome.UPDATED: "info", Outcome.CREATED: "success"}
"""Of the outcomes that are shown row by row, the most important first."""


class ImportForm(forms.Form):
    file = forms.FileField(
        label=_("File"), widget=UnfoldAdminFileFieldWidget({"accept": ".csv,.json"})
    )


class ImportPage(UnfoldModelAdminViewMixin, FormView):
    """A file, what it would do, and a button to do it.

    The file stays with the browser, which sends it a second time; it is checked again as well.
    """

    title = _("Import devices")
    template_name = "admin/devices/device/import.html"
    permission_required = ("devices.add_device", "devices.change_device")
    form_class = ImportForm
    largest_body = LARGEST_FILE

    def form_valid(self, form: ImportForm) -> HttpResponse:
        is_dry_run = "import" not in self.request.POST
        try:
            rows = self._rows(form.cleaned_data["file"])
            report = import_devices(person(self.request), rows, is_dry_run=is_dry_run)
        except APIException as error:
            form.add_error("file", str(error.detail))
            return self.form_invalid(form)
        if is_dry_run or report.has_errors:
            return self.render_to_response(self.get_context_data(form=form, report=report))
        said = gettext("Imported: {what}.").format(what=in_words(report))
        messages.success(self.request, said)
        return redirect("admin:devices_device_changelist")

    def _rows(self, file: File) -> list[Row]:
        """The rows of the file, as the parsers of the API read them."""
        start = file.read(LONGEST_START).removeprefix(BOM_UTF8).lstrip()
        file.seek(0)
        parser: Any = CSVParser
        if start.startswith((b"[", b"{")):
            parser = api_settings.DEFAULT_PARSER_CLASSES[0]
        return rows_in(parser().parse(file, None, {"view": self}))

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        context = super().get_context_data(**context)
        columns = ", ".join(COLUMNS[1:])
        return {**context, "opts": self.model_admin.opts, "columns": columns, **shown(context)}


def in_words(report: Report) -> str:
    return ", ".join(
        f"{number(count)} {Outcome(outcome).label.lower()}"
        for outcome, count in report.counts.items()
        if count
    )


def shown(context: dict[str, Any]) -> dict[str, Any]:
    """What the page says of the report in its context, if there is one."""
    report = context.get("report")
    if not report:
        return {}
    results = [
        (result, colour)
        for outcome, colour in COLOURS.items()
        for result in report.results
        if result.outcome == outcome
    ]
    return {
        "summary": in_words(report) or gettext("no row"),
        "results": results[:ROWS_SHOWN],
        "hidden": len(results[ROWS_SHOWN:]),
        "can_import": results and not report.has_errors,
    }


class ExportPage(PermissionRequiredMixin, View):
    """The devices of the list, with the filters and the order that it has."""

    permission_required = "devices.view_device"
    model_admin: Any = None
    kind = ""

    def get(self, request: HttpRequest) -> HttpResponseBase:
        try:
            devices = self.model_admin.get_changelist_instance(request).queryset
        except IncorrectLookupParameters:
            return redirect("admin:devices_device_changelist")
        try:
            # Without their mark, spreadsheets take a table for something else than UTF-8.
            return file_of(request, devices, self.kind, start=BOM_UTF8)
        except TooOldProtocol as error:
            messages.error(request, str(error.detail))
            return redirect("admin:devices_device_changelist")


def pages(admin: Any) -> list[URLPattern]:
    """The addresses of these pages, below that of the list that `admin` shows."""
    site = admin.admin_site.admin_view
    form = ImportPage.as_view(model_admin=admin)
    files = {kind: ExportPage.as_view(model_admin=admin, kind=kind) for kind in ("csv", "json")}
    return [
        path("import/", site(form), name="devices_device_import"),
        path("export.csv", site(files["csv"]), name="devices_device_export_csv"),
        path("export.json", site(files["json"]), name="devices_device_export_json"),
    ]
