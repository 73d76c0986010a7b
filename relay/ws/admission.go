package ws

import (
	"net/netip"
	"sync"
)

// reserve is how many sockets past MaxConnections are still answered, with HTTP 429 or, on another path, by
// Config.HTTP; past it they are closed unheard.
const reserve = 256

// admission counts the sockets, in all and by address.
type admission struct {
	total, perAddress int // limits; 0: none

	mu        sync.Mutex
	taken     int
	byAddress map[netip.Addr]int
}

// verdict is what becomes of a socket.
type verdict uint8

const (
	admitted verdict = iota
	// full: it may have anything but a WebSocket.
	full
	// crowded: its address has too many; it is told so and closed.
	crowded
	// refused: there is no room even for an answer.
	refused
)

// seat is a socket's place in the count; release gives it back once.
type seat struct {
	from    *admission
	address netip.Addr
}

// enter counts a socket from this address. A refused one has no seat.
func (a *admission) enter(remote netip.Addr) (seat, verdict) {
	network := networkOf(remote)
	a.mu.Lock()
	defer a.mu.Unlock()
	v := admitted
	if a.total > 0 && a.taken >= a.total {
		v = full
		if a.taken >= a.total+reserve {
			return seat{}, refused
		}
	}
	if a.perAddress > 0 && network.IsValid() {
		n := a.byAddress[network]
		if n >= a.perAddress {
			v = crowded
			if n >= a.perAddress+reserve {
				return seat{}, refused
			}
		}
		a.byAddress[network] = n + 1
	} else {
		network = netip.Addr{}
	}
	a.taken++
	return seat{a, network}, v
}

func (s *seat) release() {
	a := s.from
	if a == nil {
		return
	}
	s.from = nil
	a.mu.Lock()
	defer a.mu.Unlock()
	a.taken--
	if !s.address.IsValid() {
		return
	}
	if a.byAddress[s.address]--; a.byAddress[s.address] == 0 {
		delete(a.byAddress, s.address)
	}
}

// networkOf is what counts as one address: an IPv6 host commonly has a /64 to itself.
func networkOf(a netip.Addr) netip.Addr {
	a = a.Unmap()
	if !a.Is6() {
		return a
	}
	p, err := a.WithZone("").Prefix(64)
	if err != nil {
		return a
	}
	return p.Addr()
}
