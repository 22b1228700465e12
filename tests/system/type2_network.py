# SPDX-License-Identifier: Apache-2.0
"""Networks and sockets of `bothy run` between two Linux guests and their host: tap in a network
namespace, vhost-net, several queues, user mode, and vsock by the kernel and by Unix sockets."""

from support import WORK
from type2 import Vm, type2_host

TIMEOUT = 900
BYTES = 3_000_000
SETUP = """
set -e
outside
ip -n outside addr add 192.0.2.3/24 dev eth0
mkdir /tmp/www
echo from the outside >/tmp/www/index.html
ip netns exec outside httpd -h /tmp/www
# One guest's interface is in the namespace, the other's in the host's own; a cable joins them.
ip netns add lab
ip link add cable type veth peer name cable netns lab
ip -n lab tuntap add dev t1 mode tap multi_queue
ip tuntap add dev t2 mode tap
for where in "-n lab" ""; do
    ip $where link add br0 type bridge
    ip $where link set br0 up
    ip $where link set cable master br0
    ip $where link set cable up
done
ip -n lab link set t1 master br0
ip -n lab link set t1 up
ip link set t2 master br0
ip link set t2 up
"""


def transfer(sender, receiver, address):
    """Many bytes from one guest to another, each of them right."""
    receiver.type(f"guest sink tcp:{address}:5001")
    receiver.process.expect("^LISTENING", WORK)
    sender.run(f"guest source tcp:{address}:5001 {BYTES}")
    status, text = receiver.ended()
    assert status == 0 and f"got {BYTES}\n" in text, text


def check_tap(one, two):
    one.run("ip addr add 10.0.0.1/24 dev eth0; ip link set eth0 up")
    two.run("ip addr add 10.0.0.2/24 dev eth0; ip link set eth0 up")
    assert "2 packets received" in one.run("ping -c 2 -W 60 10.0.0.2")
    assert one.run("ls /sys/class/net/eth0/queues").split() == ["rx-0", "rx-1", "tx-0", "tx-1"]
    transfer(one, two, "10.0.0.2")
    transfer(two, one, "10.0.0.1")


def check_user(host, vm):
    """By passt: an address by DHCP, and what is outside of the host."""
    vm.run("ip link set eth1 up; udhcpc -i eth1 -n -q -s /bin/true")
    vm.run("ip addr add 192.0.2.2/24 dev eth1")
    request = "(printf 'GET /index.html HTTP/1.0\\r\\n\\r\\n'; sleep 2) | nc 192.0.2.3 80"
    assert "from the outside\n" in vm.run(request)


def check_vhost_vsock(host, vm):
    vm.type("guest echo vsock:-1:700")
    vm.process.expect("^LISTENING", WORK)
    assert host.run("./guest call vsock:7:700 'to the guest'", WORK).check().stdout == (
        "to the guest\n")
    assert vm.ended()[0] == 0
    server = host.spawn("./guest echo vsock:-1:701")
    server.expect("^LISTENING", WORK)
    assert vm.run("guest call vsock:2:701 'to the host'") == "to the host\n"
    assert server.wait(WORK).status == 0


def check_unix_vsock(host, vm):
    """As Firecracker: CONNECT on the socket, and sockets with the port behind their name."""
    vm.type("guest echo vsock:-1:800")
    vm.process.expect("^LISTENING", WORK)
    done = host.run("./guest call unix:vs.sock 'CONNECT 800\nto the guest'", WORK).check()
    assert done.stdout.startswith("OK ") and done.stdout.endswith("\nto the guest\n"), done
    assert vm.ended()[0] == 0
    server = host.spawn("./guest echo unix:vs.sock_801")
    server.expect("^LISTENING", WORK)
    assert vm.run("guest call vsock:2:801 'to the host'") == "to the host\n"
    assert server.wait(WORK).status == 0
    vm.run("guest call vsock:2:802 nobody", status=1)
    server = host.spawn("rm vs.sock_801; ./guest sink unix:vs.sock_801")
    server.expect("^LISTENING", WORK)
    vm.run(f"guest source vsock:2:801 {BYTES}")
    assert server.wait(WORK).stdout.endswith(f"got {BYTES}\n")


def test_networks():
    with type2_host(mem=1024) as host:
        host.run(SETUP, WORK).check()
        one = Vm(host, "one", "-c", "2", "--netns", "lab", "-n", "tap=t1,vhost=on,queues=2",
                 "--vsock", "7")
        two = Vm(host, "two", "-n", "tap=t2", "-n", "user", "--vsock",
                 "8,path=/with/vs.sock")
        one.ready()
        two.ready()
        check_tap(one, two)
        check_vhost_vsock(host, one)
        check_unix_vsock(host, two)
        check_user(host, two)
        one.off()
        two.off()
        assert host.run("ls vs.sock", WORK).status != 0
        assert "NO-CARRIER" in host.run("ip -n lab link show t1", WORK).stdout  # given, and kept
