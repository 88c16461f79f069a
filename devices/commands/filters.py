"""How a list of commands can be narrowed."""

from django_filters import rest_framework as filters

from accounts.filters import StrictBooleanFilter
from devices.filters import MomentFilter
from devices.models import ENDED, Command, CommandQuerySet, CommandStatus, Device
from devices.models.commands import CMD_LENGTH

STATES = f"Use one of {', '.join(CommandStatus.values)}."


class CreatedFilters(filters.FilterSet):
    """What commands and batches have in common."""

    cmd = filters.CharFilter(max_length=CMD_LENGTH, help_text="What they ask for.")
    created_after = MomentFilter("created_at", "gte", help_text="Sent at this moment or since.")
    created_before = MomentFilter("created_at", "lt", help_text="Sent before this moment.")


class DeviceCommandFilters(CreatedFilters):
    status = filters.ChoiceFilter(
        choices=CommandStatus.choices,
        method="in_state",
        error_messages={"invalid_choice": STATES},
        help_text="How far they have come.",
    )
    open = StrictBooleanFilter(
        method="still_open",
        help_text="Whether they still may come to a good end: those without `finished_at`.",
    )
    late = StrictBooleanFilter("is_late", help_text="Whether `is_late` is true.")
    batch = filters.UUIDFilter(
        error_messages={"invalid": "Use the id of a batch."},
        help_text="Id of the batch that they belong to.",
    )

    class Meta:
        model = Command
        fields: list[str] = []

    def in_state(self, commands: CommandQuerySet, name: str, status: str) -> CommandQuerySet:
        # Follows from the state, but only this lets the indexes of open commands be used.
        commands = commands if status in ENDED else commands.open()
        return commands.filter(status=status)

    def still_open(self, commands: CommandQuerySet, name: str, is_open: bool) -> CommandQuerySet:
        return commands.open() if is_open else commands.exclude(finished_at=None)


class CommandFilters(DeviceCommandFilters):
    device = filters.CharFilter(method="to_device", max_length=128, help_text="Uid of a device.")
    tenant = filters.CharFilter("tenant__slug", help_text="Slug. Of use to platform staff.")

    def to_device(self, commands: CommandQuerySet, name: str, uid: str) -> CommandQuerySet:
        # Optimization: looked up before, not joined, so that they are read in their order.
        return commands.filter(device=Device.objects.filter(device_uid=uid).values("pk")[:1])


class BatchFilters(CreatedFilters):
    tenant = filters.CharFilter("tenant__slug", help_text="Slug. Of use to platform staff.")
