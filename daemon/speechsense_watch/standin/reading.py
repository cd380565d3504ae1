"""Search and Get of the stand-in: over everything it stored, once the index has caught up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from speechsense_watch.standin.checks import invalid
from speechsense_watch.standin.rules import Rules
from speechsense_watch.standin.storage import Storage, StoredTalk
from yandex.cloud.speechsense.v1.search_pb2 import Filter
from yandex.cloud.speechsense.v1.talk_pb2 import FIELD_TYPE_STRING, PROCESSING_STATE_SUCCESS, Field, Talk, TalkState
from yandex.cloud.speechsense.v1.talk_service_pb2 import (
    GetTalkRequest,
    GetTalkResponse,
    SearchTalkRequest,
    SearchTalkResponse,
)

DEFAULT_PAGE, LARGEST_PAGE = 100, 1000
MOST_IDS = 100


class Reading:
    def __init__(self, rules: Rules, storage: Storage, now: Callable[[], datetime]) -> None:
        self._rules = rules
        self._storage = storage
        self._now = now

    def search(self, request: SearchTalkRequest) -> SearchTalkResponse:
        """The ids of matching talks, oldest first. Of the filters only any_match is played, and sort_data is not heeded.

        Raises Refused for what is not played and for a page that cannot be.
        """
        if request.HasField("query"):
            raise invalid("the stand-in does not search by words")
        size, start = request.page_size or DEFAULT_PAGE, _start(request.page_token)
        if not 1 <= size <= LARGEST_PAGE:
            raise invalid(f"page_size is {size}: 1 to {LARGEST_PAGE} are taken")
        found = [talk.talk_id for talk in self._visible(request.connection_id) if self._matches(talk, request.filters)]
        end = start + size
        token = str(end) if end < len(found) else ""
        return SearchTalkResponse(talk_ids=found[start:end], talks_count=len(found), next_page_token=token)

    def get(self, request: GetTalkRequest) -> GetTalkResponse:
        """Those of the talks that can be seen. Raises Refused for too many ids."""
        if len(request.talk_ids) > MOST_IDS:
            raise invalid(f"{len(request.talk_ids)} talks at once: at most {MOST_IDS} are taken")
        wanted = set(request.talk_ids)
        visible = (talk for talk in self._visible(request.connection_id) if talk.talk_id in wanted)
        return GetTalkResponse(talk=[self._show(talk) for talk in visible])

    def _visible(self, connection_id: str) -> list[StoredTalk]:
        latest = self._now() - timedelta(seconds=self._rules.index_lag_s)
        return [talk for talk in self._storage.talks() if talk.stored_at <= latest and connection_id in ("", talk.connection_id)]

    def _shown(self, talk: StoredTalk) -> Mapping[str, str]:
        return self._rules.connection(talk.connection_id).shown(talk.fields)

    def _matches(self, talk: StoredTalk, filters: Iterable[Filter]) -> bool:
        fields = self._shown(talk)
        return all(self._meets(fields, each) for each in filters)

    def _meets(self, fields: Mapping[str, str], wanted: Filter) -> bool:
        if wanted.WhichOneof("filter") != "any_match":
            raise invalid(f"the stand-in plays no filter but any_match (asked for {wanted.key})")
        prefix = self._rules.key_prefix
        value = fields.get(wanted.key.removeprefix(prefix)) if wanted.key.startswith(prefix) else None
        return (value is not None and value in wanted.any_match.values) is not wanted.inverse

    def _show(self, talk: StoredTalk) -> Talk:
        created_at = Timestamp()
        created_at.FromDatetime(talk.stored_at)
        return Talk(
            id=talk.talk_id,
            connection_id=talk.connection_id,
            created_at=created_at,
            talk_fields=[Field(name=name, value=value, type=FIELD_TYPE_STRING) for name, value in self._shown(talk).items()],
            talk_state=TalkState(processing_state=PROCESSING_STATE_SUCCESS),
        )


def _start(page_token: str) -> int:
    if page_token and not (page_token.isascii() and page_token.isdigit()):
        raise invalid("page_token is none of ours")
    return int(page_token or 0)
