"""Reads the two version numbers of an ONNX file without the onnx package.

A trained model needs onnxruntime alone, which does not tell these numbers. They stand in the first
level of the protobuf message ModelProto: field 1 is the IR version, field 8 an operator set
(field 1 its domain, field 2 its version).
"""

from collections.abc import Iterator

_VARINT, _LENGTH = 0, 2  # the only kinds of field that ModelProto and its operator sets have


def versions(model: bytes) -> tuple[int, dict[str, int]]:
    """IR version and operator set version per domain ("" is ONNX's own).

    ValueError if the bytes are no such message.
    """
    ir_version, opsets = 0, {}
    for field, value in _fields(model):
        if field == 1 and isinstance(value, int):
            ir_version = value
        elif field == 8 and isinstance(value, bytes):
            parts = dict(_fields(value))
            domain, version = parts.get(1, b""), parts.get(2, 0)
            if not isinstance(domain, bytes) or not isinstance(version, int):
                raise ValueError("an operator set has fields of the wrong type")
            opsets[domain.decode()] = version
    return ir_version, opsets


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        wire = key & 7
        if wire == _VARINT:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if wire != _LENGTH:
            raise ValueError(f"the field at byte {at} is of no kind that such a file has")
        size, at = _varint(message, at)
        if at + size > len(message):
            raise ValueError(f"the field at byte {at} ends behind the file")
        yield key >> 3, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while at < len(message) and shift < 64:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise ValueError(f"a number that ends at byte {at} is cut off")
