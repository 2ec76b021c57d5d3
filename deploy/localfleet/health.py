"""A gRPC server (grpcio) with the standard health service: `health.py PORT [CERTIFICATE KEY]`.

The server as a whole and every service serve; "down" does not, "unknown" is not known.
"""

import sys
from concurrent import futures

import grpc

SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"  # HealthCheckResponse { status = 1 }


def check(request, context):
    """`request` is a HealthCheckRequest { string service = 1; }, as it is on the wire."""
    service = request[2:].decode() if request else ""
    if service == "unknown":
        context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
    return NOT_SERVING if service == "down" else SERVING


def main():
    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(
        "grpc.health.v1.Health", {"Check": grpc.unary_unary_rpc_method_handler(check)}),))
    address = f"0.0.0.0:{sys.argv[1]}"
    if len(sys.argv) > 2:
        with open(sys.argv[2], "rb") as certificate, open(sys.argv[3], "rb") as key:
            server.add_secure_port(address, grpc.ssl_server_credentials([(key.read(), certificate.read())]))
    else:
        server.add_insecure_port(address)
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
