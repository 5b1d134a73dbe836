# Sends one frame or packet that is not what its sender should send, from the network namespace it is run in.
# usage: frames.py KIND INTERFACE OWN-MAC OWN-ADDRESS TARGET-MAC TARGET-ADDRESS OTHER-ADDRESS OWN-IPV6 TARGET-IPV6 OTHER-IPV6
import socket
import struct
import sys

kind, interface, own_mac, own, target_mac, target, other, own6, target6, other6 = sys.argv[1:11]


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
source, ethertype, body = frames[kind]
sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
sender.bind((interface, 0))
for _ in range(3):
    sender.send(mac(target_mac) + mac(source) + struct.pack("!H", ethertype) + body)
