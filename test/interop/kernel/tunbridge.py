# Joins a TUN device in a network namespace to a datagram socket on loopback: one IP packet per datagram.
# tunbridge.py NAMESPACE DEVICE LOCAL_PORT PEER_PORT. Node cannot open a TUN device itself: it has no ioctl.
import ctypes, fcntl, os, select, socket, struct, sys

namespace, device, local, peer = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)  # belongs to the namespace we start in
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
s.bind(('127.0.0.1', local))
s.connect(('127.0.0.1', peer))
s.setblocking(False)
with open('/run/netns/' + namespace) as ns:
    if ctypes.CDLL(None, use_errno=True).setns(ns.fileno(), 0x40000000) != 0:  # CLONE_NEWNET
        sys.exit('setns failed: ' + os.strerror(ctypes.get_errno()))
tun = os.open('/dev/net/tun', os.O_RDWR | os.O_NONBLOCK)
fcntl.ioctl(tun, 0x400454CA, struct.pack('16sH22x', device.encode(), 0x1001))  # TUNSETIFF, IFF_TUN | IFF_NO_PI
print('ready', flush=True)
while True:
    ready, _, _ = select.select([tun, s, sys.stdin], [], [])
    if sys.stdin in ready and not sys.stdin.read(1):
        break
    for fd in ready:
        try:
            for _ in range(64):
                if fd == tun:
                    s.send(os.read(tun, 65536))
                elif fd == s:
                    os.write(tun, s.recv(65536))
        except OSError:
            pass
