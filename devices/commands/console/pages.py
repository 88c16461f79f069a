"""What the console's pages about one device have in common."""

from typing import Any

from django.utils.functional import cached_property
from unfold.views import UnfoldModelAdminViewMixin

from devices.commands.console.shown import page_of


class DevicePage(UnfoldModelAdminViewMixin):
    """A page below that of a device; there is none of a device that the person may not see."""

    @cached_property
    def device(self) -> Any:
        view: Any = self
        return self.model_admin.get_object(view.request, view.kwargs["object_id"])

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        return {
            **super().get_context_data(**context),
            "opts": self.model_admin.opts,
            "device": self.device,
            "page": page_of(self.device),
        }
