"""A server that listens and never accepts: its accept queue keeps what comes, until it is full."""

import socket
import sys
import time

port, backlog, fill = (int(word) for word in sys.argv[1:4])
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("0.0.0.0", port))
listener.listen(backlog)
clients = []
for _ in range(backlog + 1 if fill else 0):  # one more than `backlog` fit
    client = socket.socket()
    client.settimeout(1)
    client.connect(("127.0.0.1", port))
    clients.append(client)
while True:
    time.sleep(3600)
