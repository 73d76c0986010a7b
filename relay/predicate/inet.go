package predicate

import (
	"net/netip"
	"strconv"
	"strings"
)

// network is a datum's x for inet and cidr.
type network struct {
	addr netip.Addr
	bits int
}

func (n network) family() int {
	if n.addr.Is4() {
		return 4
	}
	return 6
}

// inetIn reads address[/bits]. Abbreviated networks, which cidr takes too, are refused.
func inetIn(cidr bool) func(string) (datum, *Fault) {
	typeName := "inet"
	if cidr {
		typeName = "cidr"
	}
	return func(s string) (datum, *Fault) {
		host, bits, found := strings.Cut(s, "/")
		addr, err := netip.ParseAddr(host)
		if err != nil || addr.Zone() != "" {
			if strings.ContainsAny(s, " \t\n") || strings.ContainsAny(host, ".:") || allDigits(host) || host == "" {
				return datum{}, inexact("addresses are read in their usual form alone")
			}
			return datum{}, syntax(typeName)
		}
		n := network{addr, addr.BitLen()}
		if found {
			b, ok := smallInt(bits)
			if !ok || !allDigits(bits) || len(bits) > 3 || len(bits) > 1 && bits[0] == '0' {
				return datum{}, inexact("the length of a netmask is a plain number")
			}
			if b > addr.BitLen() {
				return datum{}, syntax(typeName)
			}
			n.bits = b
		}
		if cidr && n.masked() != n.addr {
			return datum{}, &Fault{"22P02", "invalid cidr value: bits right of the mask"}
		}
		return datum{x: n}, nil
	}
}

func (n network) masked() netip.Addr { return netip.PrefixFrom(n.addr, n.bits).Masked().Addr() }

// addressText prints as inet_net_ntop does: a mapped address in dotted form, the longest run of zeros shortened.
func addressText(a netip.Addr) string {
	if a.Is6() {
		b := a.As16()
		if [12]byte(b[:12]) == [12]byte{} && (b[12] != 0 || b[13] != 0) {
			return "::" + netip.AddrFrom4([4]byte(b[12:])).String()
		}
	}
	return a.String()
}

func inetOut(cidr bool) func(datum) string {
	return func(d datum) string {
		n := d.x.(network)
		if !cidr && n.bits == n.addr.BitLen() {
			return addressText(n.addr)
		}
		return addressText(n.addr) + "/" + strconv.Itoa(n.bits)
	}
}

// commonBits tells whether the first bits of two addresses of a family agree, else how they compare.
func commonBits(a, b netip.Addr, bits int) int {
	x, y := a.AsSlice(), b.AsSlice()
	for i := range x {
		if bits <= 0 {
			break
		}
		mask := byte(0xff)
		if bits < 8 {
			mask <<= 8 - bits
		}
		if c := int(x[i]&mask) - int(y[i]&mask); c != 0 {
			return sign(c)
		}
		bits -= 8
	}
	return 0
}

// compareNetworks is network_cmp: family, common network bits, length of the mask, whole address.
func compareNetworks(x, y datum) int {
	a, b := x.x.(network), y.x.(network)
	if a.family() != b.family() {
		return sign(a.family() - b.family())
	}
	if c := commonBits(a.addr, b.addr, min(a.bits, b.bits)); c != 0 {
		return c
	}
	if a.bits != b.bits {
		return sign(a.bits - b.bits)
	}
	return commonBits(a.addr, b.addr, a.addr.BitLen())
}

// inside is << (strictly) and <<=.
func inside(a, b network, strictly bool) bool {
	if a.family() != b.family() || a.bits < b.bits || strictly && a.bits == b.bits {
		return false
	}
	return commonBits(a.addr, b.addr, b.bits) == 0
}

func networkTest(f func(a, b network) bool) fn2 {
	return func(x, y datum) (datum, *Fault) { return boolean(f(x.x.(network), y.x.(network))), nil }
}
