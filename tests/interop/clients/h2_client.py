"""Python h2, frame by frame: padded DATA, END_STREAM in an empty DATA frame, and on HEADERS."""

import socket
import ssl
import threading
from urllib.parse import urlsplit

import common
import h2.config
import h2.connection
import h2.events

base, ca, kind, count, users = common.arguments()
address = urlsplit(base)


class Connection:
    def __init__(self):
        context = ssl.create_default_context(cafile=ca)
        context.set_alpn_protocols(["h2"])
        plain = socket.create_connection(("127.0.0.1", address.port), timeout=60)
        self.socket = context.wrap_socket(plain, server_hostname=address.hostname)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.flush()

    def flush(self):
        if data := self.h2.data_to_send():
            self.socket.sendall(data)

    def events(self):
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("closed")
        events = self.h2.receive_data(data)
        self.flush()
        return events

    def send(self, step):
        stream = self.h2.get_next_available_stream_id()
        headers = [
            (":method", step.method),
            (":scheme", "https"),
            (":authority", address.netloc),
            (":path", step.path),
            ("x-nonce", step.nonce),
            ("authorization", f"Bearer {step.token}"),
        ]
        if step.shape.endswith(("length", "large")):
            headers.append(("content-length", str(len(step.body))))
        bodiless = step.method in ("GET", "HEAD")
        self.h2.send_headers(stream, headers, end_stream=bodiless)
        self.flush()
        seen = {"status": "none", "echo": None, "body": b"", "done": False}
        rest = step.body
        while not bodiless and rest:
            window = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size - 256)
            if window <= 256:
                self.take(self.events(), stream, seen)
                continue
            part, rest = rest[: window - 256], rest[window - 256 :]
            self.h2.send_data(stream, part, pad_length=9 if step.shape.endswith("stream") else None)
        if not bodiless:
            # An empty frame ends the stream, padded where the length is unknown.
            self.h2.send_data(stream, b"", end_stream=True, pad_length=5 if step.shape.endswith("stream") else None)
            self.flush()
        while not seen["done"]:
            self.take(self.events(), stream, seen)
        common.report(step, seen["status"], seen["echo"], seen["body"])

    def take(self, events, stream, seen):
        for event in events:
            if getattr(event, "stream_id", None) not in (stream, 0, None):
                continue
            if isinstance(event, h2.events.ResponseReceived):
                fields = dict(event.headers)
                seen["status"], seen["echo"] = fields[":status"], fields.get("x-echo")
            elif isinstance(event, h2.events.DataReceived):
                seen["body"] += event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, stream)
                self.flush()
            elif isinstance(event, h2.events.StreamEnded):
                seen["done"] = True
            elif isinstance(event, h2.events.StreamReset):
                seen["done"] = True
                if event.error_code != 0:
                    seen["status"] = f"reset-{event.error_code}"
            elif isinstance(event, h2.events.ConnectionTerminated):
                raise ConnectionError(f"GOAWAY {event.error_code}")


def work(pairs):
    connection = Connection()
    for steps in pairs:
        for step in steps:
            connection.send(step)


pairs = list(common.plan("h2", kind, count, users))
threads = [threading.Thread(target=work, args=(pairs[n::4],)) for n in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
