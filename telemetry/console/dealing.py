"""The console's page on which many rejected messages are dealt with, step by step."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.options import IncorrectLookupParameters
from django.core import signing
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext, gettext_noop, ngettext
from django.utils.translation import gettext_lazy as _

from accounts.admin import person
from telemetry.dealing import RESOLVED, STEP, Do, Place, resolve_all, step
from telemetry.models import RejectedMessageQuerySet
from telemetry.reasons import Reason
from telemetry.replay import DUPLICATE, REJECTED, STORED, Replayed, replay_all

COUNTED = 10_000
"""What is left is counted up to here."""

NOTES = {
    STORED: gettext_noop("Replayed: stored."),
    DUPLICATE: gettext_noop("Replayed: duplicate."),
    REJECTED: gettext_noop("Replayed: rejected."),
    RESOLVED: gettext_noop("Marked as dealt with."),
}
"""What the history of a message says; the console translates it when it shows it."""

OUTCOMES = {
    STORED: _("{count} stored"),
    DUPLICATE: _("{count} stored before already"),
    REJECTED: _("{count} rejected again (still open)"),
}


class Tally:
    """What became of messages: how many met which end, and why some were rejected again."""

    def __init__(self, outcomes: dict[str, int] | None = None, why: Any = None) -> None:
        self.outcomes = Counter(outcomes or {})
        self.why: Counter[str] = Counter(why or {})

    @property
    def is_doubtful(self) -> bool:
        return bool(self.outcomes[REJECTED]) or not self.outcomes.total()

    def note(self, done: list[Replayed]) -> None:
        for message, outcome in done:
            self.outcomes[outcome] += 1
            if outcome == REJECTED:
                self.why[message.reason] += 1


def replayed(tally: Tally) -> str:
    """What became of messages that were replayed."""
    counts = ", ".join(
        str(text).format(count=tally.outcomes[outcome])
        for outcome, text in OUTCOMES.items()
        if tally.outcomes[outcome]
    )
    if not counts:
        return gettext("Nothing to replay: all dealt with already.")
    said = gettext("Replayed: {counts}.").format(counts=counts)
    reasons = (f"{Reason(reason).label} ({count})" for reason, count in tally.why.most_common())
    return " ".join([said, *reasons])


def resolved(tally: Tally) -> str:
    """How many messages were marked as dealt with."""
    count = tally.outcomes[RESOLVED]
    if not count:
        return gettext("Nothing to mark: all dealt with already.")
    text = ngettext("{count} marked as dealt with.", "{count} marked as dealt with.", count)
    return text.format(count=count)


class What(NamedTuple):
    """One of the things that can be done with messages."""

    name: str
    do: Do
    report: Callable[[Tally], str]
    title: str | Promise
    meaning: str | Promise
    icon: str


REPLAY = What(
    "replay",
    replay_all,
    replayed,
    _("Replay rejected messages"),
    _(
        "They go through the same door again, in the order in which they came. What is stored now, "
        "or was before, is dealt with; what is rejected again stays open, with its new reason."
    ),
    "replay",
)
RESOLVE = What(
    "resolve",
    resolve_all,
    resolved,
    _("Mark rejected messages as dealt with"),
    _("They leave the list of open ones and are not stored. Their bytes are kept."),
    "done",
)


def take_step(
    request: HttpRequest,
    what: What,
    messages: RejectedMessageQuerySet,
    tally: Tally,
    after: Place | None = None,
) -> Place | None:
    """Do one step of `what` and note who did it; returns how far it came, None at the end."""

    def note(done: list[Replayed]) -> None:
        tally.note(done)
        for outcome, text in NOTES.items():
            those: Any = [each.message for each in done if each.outcome == outcome]
            if those:
                LogEntry.objects.log_actions(person(request).pk, those, CHANGE, text)

    return step(messages, what.do, after, note)


class Run(NamedTuple):
    """How far a person came, from step to step: it goes to the browser and back, signed."""

    until: datetime
    """What came later is not meant, or it might never end."""
    tally: Tally
    after: Place | None = None

    def signed(self, salt: str) -> str:
        place = self.after and [self.after.received_at.isoformat(), str(self.after.id)]
        state = [self.until.isoformat(), self.tally.outcomes, self.tally.why, place]
        return signing.dumps(state, salt=salt)

    @classmethod
    def read(cls, text: str, salt: str) -> "Run":
        """Raises BadRequest for what was not signed for this person and these messages."""
        try:
            until, outcomes, why, place = signing.loads(text, salt=salt)
        except signing.BadSignature as error:
            raise BadRequest(gettext("This page is not one of ours. Begin again.")) from error
        after = place and Place(datetime.fromisoformat(place[0]), UUID(place[1]))
        return cls(datetime.fromisoformat(until), Tally(outcomes, why), after)


def page(model_admin: Any, what: What, request: HttpRequest) -> HttpResponse:
    """What is about to happen to all that the address chooses, as it does in the list; then, with
    each POST, a step of it."""
    if not model_admin.has_deal_permission(request):
        raise PermissionDenied
    messages = _chosen(model_admin, request)
    salt = f"{what.name} {person(request).pk} {request.GET.urlencode()}"
    run = Run(timezone.now(), Tally())
    is_over = False
    if request.method == "POST":
        run = Run.read(request.POST.get("run", ""), salt)
        meant = messages.filter(received_at__lte=run.until)
        run = run._replace(after=take_step(request, what, meant, run.tally, run.after))
        is_over = run.after is None
    left = messages.filter(received_at__lte=run.until).behind(run.after)
    context = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "title": what.title,
        "what": what,
        "left": 0 if is_over else left[:COUNTED].count(),
        "counted": COUNTED,
        "step": STEP,
        "is_begun": request.method == "POST",
        "is_over": is_over,
        "report": what.report(run.tally),
        "is_doubtful": run.tally.is_doubtful,
        "run": run.signed(salt),
        "chosen": request.GET.urlencode(),
        "by": _by(request),
    }
    return TemplateResponse(request, "admin/telemetry/rejectedmessage/many.html", context)


def _chosen(model_admin: Any, request: HttpRequest) -> RejectedMessageQuerySet:
    """The messages of the list with the same address."""
    try:
        chosen: RejectedMessageQuerySet = model_admin.get_changelist_instance(request).queryset
    except IncorrectLookupParameters as error:
        raise BadRequest(gettext("There is no such choice of messages.")) from error
    return chosen


def _by(request: HttpRequest) -> list[tuple[Any, str]]:
    """What the messages are chosen by, as people read it."""
    reason = request.GET.get("reason__exact", "")
    known: list[tuple[Any, str]] = [
        (_("Reason"), str(Reason(reason).label) if reason in Reason.values else reason),
        (_("Device"), request.GET.get("device_uid") or request.GET.get("q", "")),
    ]
    others = sorted(set(request.GET) - {"reason__exact", "device_uid", "q", "state"})
    chosen = [*known, *((name, request.GET[name]) for name in others)]
    return [(name, value) for name, value in chosen if value]
