"""A UDP server that sends back what it gets: `echo.py PORT`."""

import socket
import sys


def main():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("0.0.0.0", int(sys.argv[1])))
        while True:
            data, peer = server.recvfrom(65536)
            server.sendto(data, peer)


if __name__ == "__main__":
    main()
