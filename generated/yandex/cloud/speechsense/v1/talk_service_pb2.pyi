from google.protobuf import field_mask_pb2 as _field_mask_pb2
from yandex.cloud.operation import operation_pb2 as _operation_pb2
from yandex.cloud.speechsense.v1 import audio_pb2 as _audio_pb2
from yandex.cloud.speechsense.v1 import search_pb2 as _search_pb2
from yandex.cloud.speechsense.v1 import talk_pb2 as _talk_pb2
from yandex.cloud.speechsense.v1 import text_pb2 as _text_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class UserRole(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    USER_ROLE_UNSPECIFIED: _ClassVar[UserRole]
    USER_ROLE_OPERATOR: _ClassVar[UserRole]
    USER_ROLE_CLIENT: _ClassVar[UserRole]
    USER_ROLE_BOT: _ClassVar[UserRole]
USER_ROLE_UNSPECIFIED: UserRole
USER_ROLE_OPERATOR: UserRole
USER_ROLE_CLIENT: UserRole
USER_ROLE_BOT: UserRole

class StreamTalkRequest(_message.Message):
    __slots__ = ("metadata", "audio")
    METADATA_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    metadata: TalkMetadata
    audio: _audio_pb2.AudioStreamingRequest
    def __init__(self, metadata: _Optional[_Union[TalkMetadata, _Mapping]] = ..., audio: _Optional[_Union[_audio_pb2.AudioStreamingRequest, _Mapping]] = ...) -> None: ...

class UploadTalkRequest(_message.Message):
    __slots__ = ("metadata", "audio", "talk_id")
    METADATA_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    TALK_ID_FIELD_NUMBER: _ClassVar[int]
    metadata: TalkMetadata
    audio: _audio_pb2.AudioRequest
    talk_id: str
    def __init__(self, metadata: _Optional[_Union[TalkMetadata, _Mapping]] = ..., audio: _Optional[_Union[_audio_pb2.AudioRequest, _Mapping]] = ..., talk_id: _Optional[str] = ...) -> None: ...

class UploadTalkResponse(_message.Message):
    __slots__ = ("talk_id",)
    TALK_ID_FIELD_NUMBER: _ClassVar[int]
    talk_id: str
    def __init__(self, talk_id: _Optional[str] = ...) -> None: ...

class UploadTextRequest(_message.Message):
    __slots__ = ("metadata", "text_content", "talk_id")
    METADATA_FIELD_NUMBER: _ClassVar[int]
    TEXT_CONTENT_FIELD_NUMBER: _ClassVar[int]
    TALK_ID_FIELD_NUMBER: _ClassVar[int]
    metadata: TalkMetadata
    text_content: _text_pb2.TextContent
    talk_id: str
    def __init__(self, metadata: _Optional[_Union[TalkMetadata, _Mapping]] = ..., text_content: _Optional[_Union[_text_pb2.TextContent, _Mapping]] = ..., talk_id: _Optional[str] = ...) -> None: ...

class UploadTextResponse(_message.Message):
    __slots__ = ("talk_id",)
    TALK_ID_FIELD_NUMBER: _ClassVar[int]
    talk_id: str
    def __init__(self, talk_id: _Optional[str] = ...) -> None: ...

class TalkMetadata(_message.Message):
    __slots__ = ("connection_id", "fields", "users")
    class FieldsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    USERS_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    fields: _containers.ScalarMap[str, str]
    users: _containers.RepeatedCompositeFieldContainer[UserMetadata]
    def __init__(self, connection_id: _Optional[str] = ..., fields: _Optional[_Mapping[str, str]] = ..., users: _Optional[_Iterable[_Union[UserMetadata, _Mapping]]] = ...) -> None: ...

class UserMetadata(_message.Message):
    __slots__ = ("id", "role", "fields")
    class FieldsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    id: str
    role: UserRole
    fields: _containers.ScalarMap[str, str]
    def __init__(self, id: _Optional[str] = ..., role: _Optional[_Union[UserRole, str]] = ..., fields: _Optional[_Mapping[str, str]] = ...) -> None: ...

class SearchTalkRequest(_message.Message):
    __slots__ = ("organization_id", "space_id", "connection_id", "project_id", "filters", "query", "page_size", "page_token", "sort_data")
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    SPACE_ID_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    FILTERS_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SORT_DATA_FIELD_NUMBER: _ClassVar[int]
    organization_id: str
    space_id: str
    connection_id: str
    project_id: str
    filters: _containers.RepeatedCompositeFieldContainer[_search_pb2.Filter]
    query: _search_pb2.Query
    page_size: int
    page_token: str
    sort_data: _search_pb2.SortData
    def __init__(self, organization_id: _Optional[str] = ..., space_id: _Optional[str] = ..., connection_id: _Optional[str] = ..., project_id: _Optional[str] = ..., filters: _Optional[_Iterable[_Union[_search_pb2.Filter, _Mapping]]] = ..., query: _Optional[_Union[_search_pb2.Query, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., sort_data: _Optional[_Union[_search_pb2.SortData, _Mapping]] = ...) -> None: ...

class SearchTalkResponse(_message.Message):
    __slots__ = ("talk_ids", "talks_count", "next_page_token")
    TALK_IDS_FIELD_NUMBER: _ClassVar[int]
    TALKS_COUNT_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    talk_ids: _containers.RepeatedScalarFieldContainer[str]
    talks_count: int
    next_page_token: str
    def __init__(self, talk_ids: _Optional[_Iterable[str]] = ..., talks_count: _Optional[int] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetTalkRequest(_message.Message):
    __slots__ = ("organization_id", "space_id", "connection_id", "project_id", "talk_ids", "results_mask")
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    SPACE_ID_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    TALK_IDS_FIELD_NUMBER: _ClassVar[int]
    RESULTS_MASK_FIELD_NUMBER: _ClassVar[int]
    organization_id: str
    space_id: str
    connection_id: str
    project_id: str
    talk_ids: _containers.RepeatedScalarFieldContainer[str]
    results_mask: _field_mask_pb2.FieldMask
    def __init__(self, organization_id: _Optional[str] = ..., space_id: _Optional[str] = ..., connection_id: _Optional[str] = ..., project_id: _Optional[str] = ..., talk_ids: _Optional[_Iterable[str]] = ..., results_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class GetTalkResponse(_message.Message):
    __slots__ = ("talk",)
    TALK_FIELD_NUMBER: _ClassVar[int]
    talk: _containers.RepeatedCompositeFieldContainer[_talk_pb2.Talk]
    def __init__(self, talk: _Optional[_Iterable[_Union[_talk_pb2.Talk, _Mapping]]] = ...) -> None: ...

class UploadBadgeMetadata(_message.Message):
    __slots__ = ("badge_id",)
    BADGE_ID_FIELD_NUMBER: _ClassVar[int]
    badge_id: str
    def __init__(self, badge_id: _Optional[str] = ...) -> None: ...

class UploadBadgeResponse(_message.Message):
    __slots__ = ("badge_id", "talk_ids")
    BADGE_ID_FIELD_NUMBER: _ClassVar[int]
    TALK_IDS_FIELD_NUMBER: _ClassVar[int]
    badge_id: str
    talk_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, badge_id: _Optional[str] = ..., talk_ids: _Optional[_Iterable[str]] = ...) -> None: ...
