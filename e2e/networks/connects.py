# Says whether a TCP connection or a datagram gets from one network namespace to another: "connects" or "nothing".
# usage: connects.py FROM-NAMESPACE TO-NAMESPACE tcp|udp BOUND-ADDRESS ASKED-ADDRESS
import socket
import sys

from namespaces import enter

client_namespace, server_namespace, protocol, bound, asked = sys.argv[1:6]
family = socket.AF_INET6 if ":" in asked else socket.AF_INET
kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM

enter(server_namespace)
server = socket.socket(family, kind)
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind((bound, 7777))
server.settimeout(2)
if protocol == "tcp":
    server.listen()

enter(client_namespace)
client = socket.socket(family, kind)
client.settimeout(2)
try:
    client.connect((asked, 7777))
    client.send(b"x")
    server.accept() if protocol == "tcp" else server.recv(10)
    print("connects")
except OSError:
    print("nothing")
