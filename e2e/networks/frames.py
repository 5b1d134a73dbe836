# Sends frames that are not what their sender should send from one network namespace to another, then an honest one, and
# says what came: "arrived", "dropped" where only the honest one did, "silence" where neither did.
# usage: frames.py KIND INTERFACE FROM-NAMESPACE OWN-MAC OWN-ADDRESS OWN-IPV6 TO-NAMESPACE MAC ADDRESS IPV6 OTHER-ADDRESS OTHER-IPV6
import os
import socket
import struct
import sys

from namespaces import enter

kind, interface, sender_namespace, own_mac, own, own6 = sys.argv[1:7]
target_namespace, target_mac, target, target6, other, other6 = sys.argv[7:13]


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def packet(source, destination, payload=b"spoofed"):
    datagram = struct.pack("!HHHH", 9999, 7777, 8 + len(payload), 0) + payload
    header = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 20 + len(datagram), 1, 0, 64, 17, 0, socket.inet_aton(source), socket.inet_aton(destination)
    )
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + datagram


def arp(sender_mac, sender, wanted):
    return struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 2, mac(sender_mac), socket.inet_aton(sender), mac(target_mac), socket.inet_aton(wanted))


def six(source, payload, protocol=17):
    return struct.pack("!IHBB", 0x60000000, len(payload), protocol, 255) + inet6(source) + inet6(target6) + payload


def inet6(text):
    return socket.inet_pton(socket.AF_INET6, text)


def advertisement(address):
    return struct.pack("!BBHI", 136, 0, 0, 0x60000000) + inet6(address) + b"spoofed."


STRANGE = "02:99:99:99:99:99"
frames = {
    "honest": (own_mac, 0x0800, packet(own, target)),
    "mac": (STRANGE, 0x0800, packet(own, target)),
    "address": (own_mac, 0x0800, packet(other, target)),
    "arp": (own_mac, 0x0806, arp(own_mac, other, target)),
    "arp-mac": (own_mac, 0x0806, arp(STRANGE, own, target)),
    "six": (own_mac, 0x86DD, six(own6, b"spoofed")),
    "six-address": (own_mac, 0x86DD, six(other6, b"spoofed")),
    "neighbour": (own_mac, 0x86DD, six(own6, advertisement(other6), 58)),
    "router": (own_mac, 0x86DD, six(own6, struct.pack("!BBHIII", 134, 0, 0, 64, 0, 0) + b"spoofed.", 58)),
    "tagged": (own_mac, 0x8100, struct.pack("!HH", 5, 0x0800) + packet(other, target)),
}
LAST = b"the last"
ALL_PROTOCOLS = 3


def opened(namespace, protocol):
    enter(namespace)
    connection = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(protocol))
    connection.bind((interface, protocol))
    return connection


def send(source, ethertype, body):
    sender.send(mac(target_mac) + mac(source) + struct.pack("!H", ethertype) + body)


def came():
    while True:
        frame = listener.recv(2000)
        if frame[6:12] not in (mac(own_mac), mac(STRANGE)):
            continue
        if LAST in frame:
            return "dropped"
        if b"spoofed" in frame or (frame[12:14] == b"\x08\x06" and frame[20:22] == b"\x00\x02"):
            return "arrived"


# What one processor sends arrives in order.
os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
listener = opened(target_namespace, ALL_PROTOCOLS)
listener.settimeout(2.5)
sender = opened(sender_namespace, 0)
for _ in range(3):
    send(*frames[kind])
send(own_mac, 0x0800, packet(own, target, LAST))
try:
    print(came())
except TimeoutError:
    print("silence")
