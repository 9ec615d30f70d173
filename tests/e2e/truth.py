"""The true round trip of ICMP echoes, from what the kernel saw arrive at both ends of a veth pair: one clock, no reader of it.

Truth is the request's arrival at the far end and the reply's at the near one. A tap's stamp of what *leaves* is early by the tap's own
cost, so it is not used."""
import ctypes, os, socket, struct, subprocess, threading

import lab

SO_TIMESTAMPNS = 35
SO_RCVBUFFORCE = 33
CLONE_NEWNET = 0x40000000
PACKET_HOST = 0
_libc = ctypes.CDLL(None, use_errno=True)


class Tap(threading.Thread):
    """Keeps what tells an echo from others -> ns of arrival for one ICMP type on an interface of a namespace; duplicates keep the first."""

    def __init__(self, namespace, interface, icmp_type):
        super().__init__(daemon=True)
        self.icmp_type, self.arrived, self.order = icmp_type, {}, []
        self._open, self._error = threading.Event(), None
        self._where = (namespace, interface)
        self._ended = False
        self.start()
        self._open.wait()
        if self._error:
            raise self._error

    def run(self):
        try:
            handle = os.open(f"/run/netns/{self._where[0]}", os.O_RDONLY)
            if _libc.setns(handle, CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
            os.close(handle)
            tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
            tap.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
            tap.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            tap.bind((self._where[1], 0x0800))
            tap.settimeout(0.2)
        except OSError as error:
            self._error = error
            return
        finally:
            self._open.set()
        while not self._ended:
            try:
                packet, control, _, address = tap.recvmsg(256, 128)
            except TimeoutError:
                continue
            header = (packet[0] & 15) * 4
            if address[2] != PACKET_HOST or packet[9] != 1 or packet[header] != self.icmp_type:
                continue
            # Ident, sequence and the first of the payload, and whom the request is to: idents and sequences come again.
            key = packet[header + 4:header + 16] + (packet[16:20] if self.icmp_type == 8 else packet[12:16])
            for level, kind, data in control:
                if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS and key not in self.arrived:
                    seconds, nanoseconds = struct.unpack("qq", data[:16])
                    self.arrived[key] = seconds * 1_000_000_000 + nanoseconds
                    self.order.append(key)

    def end(self):
        self._ended = True
        self.join()


class Truth:
    """Round trips between two lab namespaces whose interface is eth0, while it lasts."""

    def __init__(self, near, far):
        self.requests, self.replies = Tap(far.name, "eth0", 8), Tap(near.name, "eth0", 0)
        # The kernel begins to stamp some packets after the first who asks for it.
        subprocess.run(lab.inside(near.name, "ping", "-q", "-i", "0.1", "-c", "3", far.address), check=True, stdout=subprocess.DEVNULL)
        for tap in (self.requests, self.replies):
            lab.wait_for("the tap has seen them", lambda tap=tap: len(tap.order) == 3)
            tap.order.clear()
            tap.arrived.clear()

    def end(self):
        """The true round trips in ns, in the order in which the requests arrived."""
        self.requests.end()
        self.replies.end()
        return [self.replies.arrived[key] - self.requests.arrived[key] for key in self.requests.order if key in self.replies.arrived]
