package outbox

import (
	"fmt"
	"strconv"
	"strings"

	"pgrelay/relay"
)

// A position holds a delivery's number and a transaction's place in it.
const (
	placeBits = 24
	lastPlace = 1<<placeBits - 1
)

// Delivery is how far apart the ends of two deliveries are that follow each other.
const Delivery relay.LSN = 1 << placeBits

func position(n int64, place int) relay.LSN { return relay.LSN(n)<<placeBits | relay.LSN(place) }

// wholly is the position at the end of a delivery.
func wholly(n int64) relay.LSN { return position(n, lastPlace) }

func split(p relay.LSN) (n int64, place int) { return int64(p >> placeBits), int(p & lastPlace) }

// border is a snapshot that delimits deliveries.
type border struct {
	text string
	xmin uint64 // every transaction before it has ended
	// xmax and running are what is looked for after it: transactions from xmax on, and those that ran.
	xmax    uint64
	running string // an array literal
}

// parseBorder reads pg_snapshot's text, xmin:xmax:xip,…
func parseBorder(text string) (b border, err error) {
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return border{}, fmt.Errorf("read the snapshot %q: not three parts", text)
	}
	b = border{text: text, running: "{" + parts[2] + "}"}
	if b.xmin, err = strconv.ParseUint(parts[0], 10, 64); err == nil {
		b.xmax, err = strconv.ParseUint(parts[1], 10, 64)
	}
	if err != nil {
		return border{}, fmt.Errorf("read the snapshot %q: %w", text, err)
	}
	return b, nil
}

// xmaxText is xmax as Postgres reads it.
func (b border) xmaxText() []byte { return strconv.AppendUint(nil, b.xmax, 10) }

// full is the transaction id near the border's whose lower 32 bits these are.
func (b border) full(xid uint32) uint64 { return b.xmax + uint64(int64(int32(xid-uint32(b.xmax)))) }
