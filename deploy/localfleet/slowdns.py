"""A resolver that takes its time: each datagram is answered after a delay, by the server behind it."""

import socket
import sys
import threading


def answer(listener, query, client, server, delay):
    threading.Event().wait(delay)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as upstream:
        upstream.settimeout(2)
        try:
            upstream.connect((server, 53))
            upstream.send(query)
            listener.sendto(upstream.recv(65535), client)
        except OSError:
            pass


def main(address, server, delay):
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.bind((address, 53))
    while True:
        query, client = listener.recvfrom(65535)
        threading.Thread(target=answer, args=(listener, query, client, server, float(delay)), daemon=True).start()


main(*sys.argv[1:4])
