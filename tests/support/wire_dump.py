"""Everything a set of generated modules puts on the wire, as a flat table that two sides can be compared by."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    ServiceDescriptorProto,
)

Facts = dict[str, str | int | bool]
# "field yandex.cloud....Talk.id" -> {"number": 1, "type": "TYPE_STRING", ...}
Wire = dict[str, Facts]


def wire_of(modules: Iterable[str]) -> Wire:
    """What `modules` declare themselves; what they import is left to be named as well."""
    table: Wire = {}
    for name in modules:
        proto = FileDescriptorProto()
        importlib.import_module(name).DESCRIPTOR.CopyToProto(proto)
        table.update(_file(proto))
    return table


def _file(file: FileDescriptorProto) -> Iterator[tuple[str, Facts]]:
    yield f"file {file.name}", {"package": file.package, "syntax": file.syntax}
    for message in file.message_type:
        yield f"message {file.package}.{message.name}", {"file": file.name}
        yield from _message(message, f"{file.package}.{message.name}")
    for enum in file.enum_type:
        yield from _enum(enum, f"{file.package}.{enum.name}", file.name)
    for service in file.service:
        yield from _service(service, f"{file.package}.{service.name}", file.name)


def _message(message: DescriptorProto, name: str) -> Iterator[tuple[str, Facts]]:
    for oneof in message.oneof_decl:
        yield f"oneof {name}.{oneof.name}", {}
    for field in message.field:
        oneof_name = message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else ""
        yield f"field {name}.{field.name}", _field(field, oneof_name)
    for nested in message.nested_type:
        yield f"message {name}.{nested.name}", {"map_entry": nested.options.map_entry}
        yield from _message(nested, f"{name}.{nested.name}")
    for enum in message.enum_type:
        yield from _enum(enum, f"{name}.{enum.name}", "")


def _field(field: FieldDescriptorProto, oneof: str) -> Facts:
    return {
        "number": field.number,
        "type": FieldDescriptorProto.Type.Name(field.type),
        "of": field.type_name,
        "label": FieldDescriptorProto.Label.Name(field.label),
        "oneof": oneof,
        "optional": field.proto3_optional,
        "json": field.json_name,
    }


def _enum(enum: EnumDescriptorProto, name: str, file: str) -> Iterator[tuple[str, Facts]]:
    yield f"enum {name}", {"file": file}
    for value in enum.value:
        yield f"enum value {name}.{value.name}", {"number": value.number}


def _service(service: ServiceDescriptorProto, name: str, file: str) -> Iterator[tuple[str, Facts]]:
    yield f"service {name}", {"file": file}
    for method in service.method:
        facts: Facts = {"in": method.input_type, "out": method.output_type}
        facts |= {"client_streaming": method.client_streaming, "server_streaming": method.server_streaming}
        yield f"method {name}.{method.name}", facts
