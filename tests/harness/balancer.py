"""A UDP balancer in front of several nodes, as devices see one: one address, any node behind it. It decides which node a
device's datagrams go to and can change its mind at any time, also for a node that is away."""

import random
import selectors
import socket
import threading


class Balancer:
    def __init__(self, nodes, seed=1):
        self.nodes = nodes
        self._random = random.Random(seed)
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._flows = {}  # device address -> [node, socket toward it]
        self.moves = 0
        self._front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._front.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._front.bind(("127.0.0.1", 0))
        self._front.setblocking(False)
        self._selector.register(self._front, selectors.EVENT_READ, None)
        self._wake, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ, "stop")
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def address(self):
        return self._front.getsockname()

    def move_some(self, share=0.3):
        """Some devices go on at another node, picked at random."""
        with self._lock:
            for device, (node, _) in list(self._flows.items()):
                if self._random.random() < share:
                    self._direct(device, self._pick(but=node))

    def move_all(self, to):
        with self._lock:
            for device, (node, _) in list(self._flows.items()):
                if node is not to:
                    self._direct(device, to)

    def _pick(self, but=None):
        """One that lives, as far as a balancer's probes would have told."""
        alive = [node for node in self.nodes if node.process is not None]
        return self._random.choice([node for node in alive if node is not but] or alive or self.nodes)

    def _direct(self, device, node):
        old = self._flows.get(device)
        if old is not None:
            self._selector.unregister(old[1])
            old[1].close()
            self.moves += 1
        upstream = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        upstream.connect(("127.0.0.1", node.coap_port))
        upstream.setblocking(False)
        self._flows[device] = (node, upstream)
        self._selector.register(upstream, selectors.EVENT_READ, device)
        return upstream

    def _pass_on(self, key):
        try:
            if key.data is None:
                data, device = self._front.recvfrom(65536)
                flow = self._flows.get(device)
                upstream = flow[1] if flow else self._direct(device, self._pick())
                upstream.send(data)
            else:
                self._front.sendto(key.fileobj.recv(65536), key.data)
        except OSError:  # the node is away, or the flow was just moved: lost, as on any network
            pass

    def _run(self):
        while True:
            for key, _ in self._selector.select():
                if key.data == "stop":
                    return
                with self._lock:
                    if key.fileobj.fileno() >= 0:
                        self._pass_on(key)

    def close(self):
        self._wake.send(b"x")
        self._thread.join(10)
        self._selector.close()
        for one in [self._front, self._wake, self._woken, *(upstream for _, upstream in self._flows.values())]:
            one.close()
