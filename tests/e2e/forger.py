"""Answers ICMP echoes for 10.66.0.0/24 of its namespace dishonestly, each address in its own way (WAYS). For tests alone: run by
hostile_network.py, whose namespace's kernel keeps quiet."""
import socket, struct, sys, time

ICMP_REPLY, ICMP_REQUEST, IP_HEADER = 0, 8, 20


def checksum(data):
    words = struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2))
    total = sum(words)
    total = (total & 0xFFFF) + (total >> 16)
    return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF


def icmp(kind, ident, sequence, payload):
    head = struct.pack("!BBHHH", kind, 0, 0, ident, sequence)
    return struct.pack("!BBHHH", kind, 0, checksum(head + payload), ident, sequence) + payload


def honest(ident, sequence, payload):
    return icmp(ICMP_REPLY, ident, sequence, payload)


def inverted(payload):
    return bytes(byte ^ 0xFF for byte in payload)


# The last byte of the address asked: for a request, what is sent: (bytes, seconds later, last byte of the sender or None for the one
# asked).
WAYS = {
    1: lambda i, s, p: [(honest(i, s, p), 0, None)],
    2: lambda i, s, p: [(honest(i, s, b""), 0, None)],  # the header alone: nothing proves that it saw the probe
    3: lambda i, s, p: [(honest(i, s, p)[:4], 0, None)],
    4: lambda i, s, p: [(honest(i ^ 0x5555, s, p), 0, None)],
    5: lambda i, s, p: [(honest(i, (s + 1) & 0xFFFF, p), 0, None)],
    6: lambda i, s, p: [(honest(i, s, inverted(p)), 0, None)],
    7: lambda i, s, p: [(honest(i, s, p), 0, 77)],
    8: lambda i, s, p: [(honest(i, s, p), 0, None), (honest(i, s, p), 0.001, None)],
    # A forgery hurries ahead of the true answer.
    9: lambda i, s, p: [(honest(i, s, inverted(p)), 0, None), (honest(i, s, p), 0, 77), (honest(i, s, p), 0.01, None)],
    10: lambda i, s, p: [(honest(i, s, p)[:2] + b"\x12\x34" + honest(i, s, p)[4:], 0, None)],  # a checksum that is wrong
    11: lambda i, s, p: [(icmp(ICMP_REQUEST, i, s, p), 0, None)],
    12: lambda i, s, p: [(honest(i, s, p[:7]), 0, None)],  # cut within the cookie
}


def main():
    heard = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    out = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    heard.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    print("ready", flush=True)
    waiting = []
    while True:
        heard.settimeout(max(0.0001, min(at for at, *_ in waiting) - time.monotonic()) if waiting else None)
        try:
            packet = heard.recv(65536)
        except (BlockingIOError, TimeoutError):
            packet = b""
        if len(packet) >= IP_HEADER + 8 and packet[IP_HEADER] == ICMP_REQUEST and packet[16:19] == bytes([10, 66, 0]):
            ident, sequence = struct.unpack("!HH", packet[IP_HEADER + 4:IP_HEADER + 8])
            for content, later, sender in WAYS[packet[19]](ident, sequence, packet[IP_HEADER + 8:]):
                source = packet[16:19] + bytes([sender if sender is not None else packet[19]])
                waiting.append((time.monotonic() + later, source, packet[12:16], content))
        now = time.monotonic()
        for entry in [entry for entry in waiting if entry[0] <= now]:
            waiting.remove(entry)
            _, source, target, content = entry
            head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, IP_HEADER + len(content), 0, 0, 64, socket.IPPROTO_ICMP, 0, source, target)
            out.sendto(head + content, (socket.inet_ntoa(target), 0))


if __name__ == "__main__":
    sys.exit(main())
