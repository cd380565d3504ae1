import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FieldType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FIELD_TYPE_UNSPECIFIED: _ClassVar[FieldType]
    FIELD_TYPE_STRING: _ClassVar[FieldType]
    FIELD_TYPE_NUMBER: _ClassVar[FieldType]
    FIELD_TYPE_DECIMAL: _ClassVar[FieldType]
    FIELD_TYPE_BOOLEAN: _ClassVar[FieldType]
    FIELD_TYPE_DATE: _ClassVar[FieldType]
    FIELD_TYPE_JSON: _ClassVar[FieldType]

class ProcessingState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PROCESSING_STATE_UNSPECIFIED: _ClassVar[ProcessingState]
    PROCESSING_STATE_NOT_STARTED: _ClassVar[ProcessingState]
    PROCESSING_STATE_PROCESSING: _ClassVar[ProcessingState]
    PROCESSING_STATE_SUCCESS: _ClassVar[ProcessingState]
    PROCESSING_STATE_FAILED: _ClassVar[ProcessingState]

class Algorithm(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ALGORITHM_UNSPECIFIED: _ClassVar[Algorithm]
    ALGORITHM_SPEECHKIT: _ClassVar[Algorithm]
    ALGORITHM_YGPT: _ClassVar[Algorithm]
    ALGORITHM_CLASSIFIER: _ClassVar[Algorithm]
    ALGORITHM_SUMMARIZATION: _ClassVar[Algorithm]
    ALGORITHM_EMBEDDING: _ClassVar[Algorithm]
    ALGORITHM_STATISTICS: _ClassVar[Algorithm]
    ALGORITHM_ASSISTANT: _ClassVar[Algorithm]
FIELD_TYPE_UNSPECIFIED: FieldType
FIELD_TYPE_STRING: FieldType
FIELD_TYPE_NUMBER: FieldType
FIELD_TYPE_DECIMAL: FieldType
FIELD_TYPE_BOOLEAN: FieldType
FIELD_TYPE_DATE: FieldType
FIELD_TYPE_JSON: FieldType
PROCESSING_STATE_UNSPECIFIED: ProcessingState
PROCESSING_STATE_NOT_STARTED: ProcessingState
PROCESSING_STATE_PROCESSING: ProcessingState
PROCESSING_STATE_SUCCESS: ProcessingState
PROCESSING_STATE_FAILED: ProcessingState
ALGORITHM_UNSPECIFIED: Algorithm
ALGORITHM_SPEECHKIT: Algorithm
ALGORITHM_YGPT: Algorithm
ALGORITHM_CLASSIFIER: Algorithm
ALGORITHM_SUMMARIZATION: Algorithm
ALGORITHM_EMBEDDING: Algorithm
ALGORITHM_STATISTICS: Algorithm
ALGORITHM_ASSISTANT: Algorithm

class Talk(_message.Message):
    __slots__ = ("id", "organization_id", "space_id", "connection_id", "project_ids", "created_by", "created_at", "modified_by", "modified_at", "talk_fields", "talk_state")
    ID_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    SPACE_ID_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_IDS_FIELD_NUMBER: _ClassVar[int]
    CREATED_BY_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    MODIFIED_BY_FIELD_NUMBER: _ClassVar[int]
    MODIFIED_AT_FIELD_NUMBER: _ClassVar[int]
    TALK_FIELDS_FIELD_NUMBER: _ClassVar[int]
    TALK_STATE_FIELD_NUMBER: _ClassVar[int]
    id: str
    organization_id: str
    space_id: str
    connection_id: str
    project_ids: _containers.RepeatedScalarFieldContainer[str]
    created_by: str
    created_at: _timestamp_pb2.Timestamp
    modified_by: str
    modified_at: _timestamp_pb2.Timestamp
    talk_fields: _containers.RepeatedCompositeFieldContainer[Field]
    talk_state: TalkState
    def __init__(self, id: _Optional[str] = ..., organization_id: _Optional[str] = ..., space_id: _Optional[str] = ..., connection_id: _Optional[str] = ..., project_ids: _Optional[_Iterable[str]] = ..., created_by: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., modified_by: _Optional[str] = ..., modified_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., talk_fields: _Optional[_Iterable[_Union[Field, _Mapping]]] = ..., talk_state: _Optional[_Union[TalkState, _Mapping]] = ...) -> None: ...

class TalkState(_message.Message):
    __slots__ = ("processing_state", "algorithm_processing_infos")
    PROCESSING_STATE_FIELD_NUMBER: _ClassVar[int]
    ALGORITHM_PROCESSING_INFOS_FIELD_NUMBER: _ClassVar[int]
    processing_state: ProcessingState
    algorithm_processing_infos: _containers.RepeatedCompositeFieldContainer[AlgorithmProcessingInfo]
    def __init__(self, processing_state: _Optional[_Union[ProcessingState, str]] = ..., algorithm_processing_infos: _Optional[_Iterable[_Union[AlgorithmProcessingInfo, _Mapping]]] = ...) -> None: ...

class Field(_message.Message):
    __slots__ = ("name", "value", "type")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: str
    type: FieldType
    def __init__(self, name: _Optional[str] = ..., value: _Optional[str] = ..., type: _Optional[_Union[FieldType, str]] = ...) -> None: ...

class AlgorithmProcessingInfo(_message.Message):
    __slots__ = ("algorithm", "processing_state")
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    PROCESSING_STATE_FIELD_NUMBER: _ClassVar[int]
    algorithm: Algorithm
    processing_state: ProcessingState
    def __init__(self, algorithm: _Optional[_Union[Algorithm, str]] = ..., processing_state: _Optional[_Union[ProcessingState, str]] = ...) -> None: ...
