import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf import wrappers_pb2 as _wrappers_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SortOrder(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SORT_ORDER_UNSPECIFIED: _ClassVar[SortOrder]
    SORT_ORDER_ASC: _ClassVar[SortOrder]
    SORT_ORDER_DESC: _ClassVar[SortOrder]
SORT_ORDER_UNSPECIFIED: SortOrder
SORT_ORDER_ASC: SortOrder
SORT_ORDER_DESC: SortOrder

class Filter(_message.Message):
    __slots__ = ("key", "any_match", "int_range", "double_range", "date_range", "duration_range", "boolean_match", "inverse", "channel_number")
    KEY_FIELD_NUMBER: _ClassVar[int]
    ANY_MATCH_FIELD_NUMBER: _ClassVar[int]
    INT_RANGE_FIELD_NUMBER: _ClassVar[int]
    DOUBLE_RANGE_FIELD_NUMBER: _ClassVar[int]
    DATE_RANGE_FIELD_NUMBER: _ClassVar[int]
    DURATION_RANGE_FIELD_NUMBER: _ClassVar[int]
    BOOLEAN_MATCH_FIELD_NUMBER: _ClassVar[int]
    INVERSE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_NUMBER_FIELD_NUMBER: _ClassVar[int]
    key: str
    any_match: AnyMatchFilter
    int_range: IntRangeFilter
    double_range: DoubleRangeFilter
    date_range: DateRangeFilter
    duration_range: DurationRangeFilter
    boolean_match: BooleanFilter
    inverse: bool
    channel_number: _wrappers_pb2.Int64Value
    def __init__(self, key: _Optional[str] = ..., any_match: _Optional[_Union[AnyMatchFilter, _Mapping]] = ..., int_range: _Optional[_Union[IntRangeFilter, _Mapping]] = ..., double_range: _Optional[_Union[DoubleRangeFilter, _Mapping]] = ..., date_range: _Optional[_Union[DateRangeFilter, _Mapping]] = ..., duration_range: _Optional[_Union[DurationRangeFilter, _Mapping]] = ..., boolean_match: _Optional[_Union[BooleanFilter, _Mapping]] = ..., inverse: _Optional[bool] = ..., channel_number: _Optional[_Union[_wrappers_pb2.Int64Value, _Mapping]] = ...) -> None: ...

class Query(_message.Message):
    __slots__ = ("text", "inverse", "channel_number")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    INVERSE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_NUMBER_FIELD_NUMBER: _ClassVar[int]
    text: str
    inverse: bool
    channel_number: _wrappers_pb2.Int64Value
    def __init__(self, text: _Optional[str] = ..., inverse: _Optional[bool] = ..., channel_number: _Optional[_Union[_wrappers_pb2.Int64Value, _Mapping]] = ...) -> None: ...

class AnyMatchFilter(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, values: _Optional[_Iterable[str]] = ...) -> None: ...

class BoundsInclusive(_message.Message):
    __slots__ = ("from_inclusive", "to_inclusive")
    FROM_INCLUSIVE_FIELD_NUMBER: _ClassVar[int]
    TO_INCLUSIVE_FIELD_NUMBER: _ClassVar[int]
    from_inclusive: bool
    to_inclusive: bool
    def __init__(self, from_inclusive: _Optional[bool] = ..., to_inclusive: _Optional[bool] = ...) -> None: ...

class IntRangeFilter(_message.Message):
    __slots__ = ("from_value", "to_value", "bounds_inclusive")
    FROM_VALUE_FIELD_NUMBER: _ClassVar[int]
    TO_VALUE_FIELD_NUMBER: _ClassVar[int]
    BOUNDS_INCLUSIVE_FIELD_NUMBER: _ClassVar[int]
    from_value: _wrappers_pb2.Int64Value
    to_value: _wrappers_pb2.Int64Value
    bounds_inclusive: BoundsInclusive
    def __init__(self, from_value: _Optional[_Union[_wrappers_pb2.Int64Value, _Mapping]] = ..., to_value: _Optional[_Union[_wrappers_pb2.Int64Value, _Mapping]] = ..., bounds_inclusive: _Optional[_Union[BoundsInclusive, _Mapping]] = ...) -> None: ...

class DoubleRangeFilter(_message.Message):
    __slots__ = ("from_value", "to_value", "bounds_inclusive")
    FROM_VALUE_FIELD_NUMBER: _ClassVar[int]
    TO_VALUE_FIELD_NUMBER: _ClassVar[int]
    BOUNDS_INCLUSIVE_FIELD_NUMBER: _ClassVar[int]
    from_value: _wrappers_pb2.DoubleValue
    to_value: _wrappers_pb2.DoubleValue
    bounds_inclusive: BoundsInclusive
    def __init__(self, from_value: _Optional[_Union[_wrappers_pb2.DoubleValue, _Mapping]] = ..., to_value: _Optional[_Union[_wrappers_pb2.DoubleValue, _Mapping]] = ..., bounds_inclusive: _Optional[_Union[BoundsInclusive, _Mapping]] = ...) -> None: ...

class DateRangeFilter(_message.Message):
    __slots__ = ("from_value", "to_value", "bounds_inclusive")
    FROM_VALUE_FIELD_NUMBER: _ClassVar[int]
    TO_VALUE_FIELD_NUMBER: _ClassVar[int]
    BOUNDS_INCLUSIVE_FIELD_NUMBER: _ClassVar[int]
    from_value: _timestamp_pb2.Timestamp
    to_value: _timestamp_pb2.Timestamp
    bounds_inclusive: BoundsInclusive
    def __init__(self, from_value: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., to_value: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., bounds_inclusive: _Optional[_Union[BoundsInclusive, _Mapping]] = ...) -> None: ...

class DurationRangeFilter(_message.Message):
    __slots__ = ("from_value", "to_value", "bounds_inclusive")
    FROM_VALUE_FIELD_NUMBER: _ClassVar[int]
    TO_VALUE_FIELD_NUMBER: _ClassVar[int]
    BOUNDS_INCLUSIVE_FIELD_NUMBER: _ClassVar[int]
    from_value: _duration_pb2.Duration
    to_value: _duration_pb2.Duration
    bounds_inclusive: BoundsInclusive
    def __init__(self, from_value: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., to_value: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., bounds_inclusive: _Optional[_Union[BoundsInclusive, _Mapping]] = ...) -> None: ...

class BooleanFilter(_message.Message):
    __slots__ = ("value",)
    VALUE_FIELD_NUMBER: _ClassVar[int]
    value: bool
    def __init__(self, value: _Optional[bool] = ...) -> None: ...

class SortData(_message.Message):
    __slots__ = ("fields",)
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    fields: _containers.RepeatedCompositeFieldContainer[SortField]
    def __init__(self, fields: _Optional[_Iterable[_Union[SortField, _Mapping]]] = ...) -> None: ...

class SortField(_message.Message):
    __slots__ = ("field", "order", "position")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    field: str
    order: SortOrder
    position: int
    def __init__(self, field: _Optional[str] = ..., order: _Optional[_Union[SortOrder, str]] = ..., position: _Optional[int] = ...) -> None: ...
