"""How the console shows what a device sent: text where it is text, else bytes."""

LONGEST_SHOWN = 20_000


def text_of(data: bytes) -> str | None:
    """The bytes as text, if they are text that can be shown as it is."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return text if all(line.isprintable() for line in text.replace("\t", " ").split("\n")) else None


def hex_dump(data: bytes) -> str:
    """The bytes as people read bytes: offset, hexadecimal, and the letters among them."""
    lines = []
    for start in range(0, len(data), 16):
        row = data[start : start + 16]
        letters = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        lines.append(f"{start:06x}  {row.hex(' '):<47}  {letters}")
    return "\n".join(lines)
