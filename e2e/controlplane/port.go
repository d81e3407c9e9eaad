package main

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// reservePort binds a port for as long as this process lives, without listening on it:
// wanted, or any free one when wanted is 0. The API server binds it too
// (--permit-port-sharing) and alone receives connections. Taking a free port and letting it
// go again would leave a gap for another control plane of the same machine to take it.
func reservePort(address net.IP, wanted int) (int, error) {
	family, sockaddr := socketAddress(address, wanted)
	socket, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("reserving a port: %w", err)
	}
	if err := unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
		return 0, fmt.Errorf("reserving a port: %w", err)
	}
	if err := unix.Bind(socket, sockaddr); err != nil {
		return 0, fmt.Errorf("reserving port %d of %s: %w; choose another with --bind and --port", wanted, address, err)
	}
	bound, err := unix.Getsockname(socket)
	if err != nil {
		return 0, fmt.Errorf("reserving a port: %w", err)
	}
	return portOf(bound), nil
}

func socketAddress(address net.IP, number int) (family int, sockaddr unix.Sockaddr) {
	if v4 := address.To4(); v4 != nil {
		return unix.AF_INET, &unix.SockaddrInet4{Port: number, Addr: [4]byte(v4)}
	}
	return unix.AF_INET6, &unix.SockaddrInet6{Port: number, Addr: [16]byte(address.To16())}
}

func portOf(sockaddr unix.Sockaddr) int {
	switch address := sockaddr.(type) {
	case *unix.SockaddrInet4:
		return address.Port
	case *unix.SockaddrInet6:
		return address.Port
	}
	return 0
}
