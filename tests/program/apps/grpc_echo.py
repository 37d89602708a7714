"""A gRPC app and its client, as published: grpcio, unmodified. Messages are plain bytes, so no code is generated.

    grpc_echo.py serve PORT [CERTIFICATE KEY]   the app: in clear, or over TLS
    grpc_echo.py ask PORT CERTIFICATE TOKEN     a client, over TLS; says in JSON lines what came
"""

import json
import queue
import sys
from concurrent import futures

import grpc


class Echo(grpc.GenericRpcHandler):
    def service(self, call):
        user = dict(call.invocation_metadata).get("x-auth-user", "-")
        if call.method == "/echo.Echo/Unary":
            def unary(request, context):
                context.set_trailing_metadata((("x-trailer", "after"),))
                return user.encode() + b":" + request
            return grpc.unary_unary_rpc_method_handler(unary)
        if call.method == "/echo.Echo/Missing":
            def missing(request, context):
                context.abort(grpc.StatusCode.NOT_FOUND, "there is no such thing")
            return grpc.unary_unary_rpc_method_handler(missing)
        if call.method == "/echo.Echo/Bidi":
            def bidi(requests, context):
                for request in requests:
                    yield request
            return grpc.stream_stream_rpc_method_handler(bidi)
        return None


def serve(port, certificate=None, key=None):
    server = grpc.server(futures.ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers((Echo(),))
    address = f"127.0.0.1:{port}"
    if certificate:
        pair = (open(key, "rb").read(), open(certificate, "rb").read())
        server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
    else:
        server.add_insecure_port(address)
    server.start()
    print("serving", flush=True)
    server.wait_for_termination()


def say(**what):
    print(json.dumps(what), flush=True)


def ask(port, certificate, token):
    trusted = grpc.ssl_channel_credentials(open(certificate, "rb").read())
    name = (("grpc.ssl_target_name_override", "gateway.test"),)
    channel = grpc.secure_channel(f"127.0.0.1:{port}", trusted, name)
    signed_in = (("authorization", f"Bearer {token}"), ("x-auth-user", "root"))

    unary = channel.unary_unary("/echo.Echo/Unary")
    answer, call = unary.with_call(b"hello", metadata=signed_in, timeout=20)
    say(unary=answer.decode(), trailers=dict(call.trailing_metadata()).get("x-trailer"))
    for method, metadata in (("Missing", signed_in), ("Unary", ())):
        try:
            channel.unary_unary(f"/echo.Echo/{method}")(b"", metadata=metadata, timeout=20)
            say(method=method, code="OK")
        except grpc.RpcError as error:
            say(method=method, code=error.code().name, details=error.details())

    # Back and forth: each message is answered before the next is sent.
    messages = queue.SimpleQueue()
    stream = channel.stream_stream("/echo.Echo/Bidi")(iter(messages.get, None), metadata=signed_in)
    echoed = 0
    for at in range(200):
        messages.put(str(at).encode())
        echoed += next(stream) == str(at).encode()
    say(echoed=echoed)
    try:
        next(stream)
        say(stream="went on")
    except grpc.RpcError as error:
        say(stream=error.code().name)
    messages.put(None)


if __name__ == "__main__":
    {"serve": serve, "ask": ask}[sys.argv[1]](*sys.argv[2:])
